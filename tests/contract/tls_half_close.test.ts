/**
 * Half-close through TLS where the runtime loses it: the gate that keeps it, and what the gate does not cover.
 * docs/runtimes.md tells the story; once Bun is repaired, the last two tests here fail on it.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import tls, { type TLSSocket } from "node:tls";
import type { Conn } from "../../src/core/conn.ts";
import { tlsHop } from "../../src/protocols/tls.ts";
import { CloseNotifyGate } from "../../src/protocols/tls_half_close.ts";
import { ConnStream } from "../../src/protocols/tls_stream.ts";
import { memoryPair } from "../support/memory.ts";
import { RecordWriter } from "../support/tls_records.ts";
import { readText, writeText } from "../support/traffic.ts";
import { credentials, onDeno, pem } from "./transports.ts";

/** What passes a gate in chunks of `size` bytes. */
function passed(gate: CloseNotifyGate, bytes: Uint8Array, size: number): Buffer {
  const out: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    out.push(Buffer.from(gate.pass(bytes.subarray(at, at + size))));
  }
  return Buffer.concat(out);
}

/** A handshake's records as far as a gate cares: in the clear, and under keys that it does not know. */
const handshake = Buffer.concat([
  Buffer.of(22, 3, 3, 0, 3, 1, 2, 3),
  Buffer.of(20, 3, 3, 0, 1, 1),
  ...[90, 600, 53].map((n) => Buffer.concat([Buffer.of(23, 3, 3, n >> 8, n & 255), Buffer.alloc(n, 7)])),
]);

for (const keyLength of [16, 32] as const) {
  for (const size of [1, 2, 7, 24, 100_000]) {
    test(`AES-${keyLength * 8}, chunks of ${size}: only the close_notify is kept`, () => {
      const server = new RecordWriter(keyLength);
      const gate = new CloseNotifyGate("SERVER");
      const before = Buffer.concat([
        handshake,
        server.data(Buffer.alloc(300)),
        server.data(Buffer.from("hi")), // as long as an alert
        server.data(Buffer.from("hello")), // as long as a KeyUpdate
        server.keyUpdate(),
        server.data(Buffer.from("ab")),
        ...Array.from({ length: 300 }, () => server.data(Buffer.alloc(3))),
        server.keyUpdate(),
      ]);
      gate.keylog(server.keylog());
      assertEquals(passed(gate, before, size), before);
      assertEquals(gate.closed, false);
      const after = Buffer.concat([server.closeNotify(), Buffer.from("nothing that counts")]);
      assertEquals(passed(gate, after, size).length, 0);
      assertEquals(gate.closed, true);
      assertEquals(gate.release().length, 0);
    });
  }
}

test("the records of RFC 8448 section 3", () => {
  const secrets = {
    SERVER: "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
    CLIENT: "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
  };
  const alerts = {
    SERVER: "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9",
    CLIENT: "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3",
  };
  for (const sender of ["SERVER", "CLIENT"] as const) {
    const gate = new CloseNotifyGate(sender);
    gate.keylog(Buffer.from(`${sender}_TRAFFIC_SECRET_0 00 ${secrets[sender]}`));
    const rest = sender === "SERVER" ? [handshake, handshake] : [handshake];
    assertEquals(passed(gate, Buffer.concat(rest), 10).length, handshake.length * rest.length);
    assertEquals(gate.pass(Buffer.from(alerts[sender], "hex")).length, 0);
    assertEquals([sender, gate.closed], [sender, true]);
  }
});

test("what may be a close_notify waits for the key", () => {
  const server = new RecordWriter(16);
  const gate = new CloseNotifyGate("SERVER");
  const [short, end] = [server.data(Buffer.from("hi")), server.closeNotify()];
  assertEquals(passed(gate, Buffer.concat([handshake, short, end]), 5), handshake);
  gate.keylog(server.keylog());
  assertEquals(Buffer.from(gate.pass(new Uint8Array(0))), short);
  assertEquals(gate.closed, true);
});

test("what waited goes on when the connection ends first", () => {
  const gate = new CloseNotifyGate("SERVER");
  const short = new RecordWriter(16).data(Buffer.from("hi"));
  assertEquals(passed(gate, short, 100).length, 0);
  assertEquals(Buffer.from(gate.release()), short);
});

test("records that can't be opened all pass", () => {
  const [server, other] = [new RecordWriter(16), new RecordWriter(16)];
  const gate = new CloseNotifyGate("SERVER");
  gate.keylog(other.keylog());
  const records = Buffer.concat([handshake, server.data(Buffer.from("hi")), server.closeNotify()]);
  assertEquals(passed(gate, records, 9), records);
});

test("in TLS 1.2 all records pass", () => {
  const gate = new CloseNotifyGate("SERVER");
  gate.keylog(Buffer.from("CLIENT_RANDOM 00 00"));
  const records = Buffer.concat([handshake, Buffer.of(21, 3, 3, 0, 2, 1, 0), Buffer.of(23, 3, 3, 0, 19)]);
  assertEquals(passed(gate, records, 3), records);
});

/** A server of `node:tls` itself that ends first, and what it still receives. */
async function endsFirst(conn: Conn, options: tls.TlsOptions): Promise<{ received: Promise<string> }> {
  const { server: { cert, key } } = await credentials();
  const server = tls.createServer(
    { cert: pem(cert), key: pem(key), allowHalfOpen: true, ...options } as tls.TlsOptions,
  );
  const received = new Promise<string>((resolve) => {
    server.once("secureConnection", (socket: TLSSocket) => {
      let text = "";
      socket.on("data", (chunk: Uint8Array) => text += Buffer.from(chunk));
      socket.once("close", () => resolve(text));
      socket.on("error", () => {});
      socket.end("over to you");
    });
  });
  server.emit("connection", new ConnStream(conn, null));
  return { received };
}

test("TLS 1.2: a peer that ends first still hears us, except on Bun", async () => {
  const [a, b] = memoryPair();
  const { received } = await endsFirst(b, { maxVersion: "TLSv1.2" });
  const { client: options } = await credentials();
  const hop = tlsHop(options).wrap({ dial: () => Promise.resolve(a) });
  const client = await hop.dial({ hostname: "localhost", port: 443 });
  assertEquals(await readText(client), "over to you");
  await writeText(client, "thanks").catch(() => {});
  client.close();
  assertEquals(await received, onDeno ? "thanks" : "");
});

test("node:tls over a stream without the gate loses the half-close on Bun alone", async () => {
  const [a, b] = memoryPair();
  const { received } = await endsFirst(b, {});
  const socket = tls.connect({
    socket: new ConnStream(a, null),
    servername: "localhost",
    rejectUnauthorized: false,
    allowHalfOpen: true,
  } as tls.ConnectionOptions);
  socket.on("error", () => {});
  socket.resume();
  await new Promise((resolve) => socket.once("end", resolve));
  socket.end("thanks");
  assertEquals(await received, onDeno ? "thanks" : "");
});
