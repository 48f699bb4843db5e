/**
 * A name server in the test's own process that counts what it is asked, over every transport.
 *
 * @module
 */
import packet from "dns-packet";
import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer as createHttpsServer } from "node:https";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Certificate } from "./certificates.ts";
import { listen } from "./origins.ts";

/** What the server says of a name and type, as in `{ "example.test A": { data: ["192.0.2.1"], ttl: 60 } }`. */
export type Zone = Record<string, {
  readonly data?: readonly string[];
  readonly ttl?: number;
  readonly rcode?: "NXDOMAIN" | "SERVFAIL" | "REFUSED";
  /** Over UDP there is no more than this hint. */
  readonly truncated?: boolean;
  readonly silent?: boolean;
  /** An answer to another question. */
  readonly astray?: boolean;
}>;

/** A running name server. */
export interface TestNameServer extends AsyncDisposable {
  readonly port: number;
  /** The questions, in order, as `udp example.test A`. */
  readonly asked: string[];
  /** How many connections came. */
  readonly connections: () => number;
}

/** Starts it on 127.0.0.1, with UDP and TCP on one port; with a certificate, `kind` is inside TLS instead. */
export async function nameServer(
  zone: Zone,
  kind: "plain" | "tls" | "https" = "plain",
  certificate?: Certificate,
): Promise<TestNameServer> {
  const asked: string[] = [];
  let connections = 0;
  const reply = (via: string, message: Uint8Array): Uint8Array | undefined => {
    const { id, questions: [{ name, type }] } = packet.decode(message);
    asked.push(`${via} ${name} ${type}`);
    const entry = zone[`${name} ${type}`] ?? {};
    if (entry.silent) return undefined;
    const cut = entry.truncated && via === "udp";
    const rcodes = { NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5 };
    return packet.encode({
      type: "response",
      id,
      flags: (cut ? packet.TRUNCATED_RESPONSE : 0) | (entry.rcode === undefined ? 0 : rcodes[entry.rcode]),
      questions: [{ name: entry.astray ? "other.test" : name, type, class: "IN" }],
      answers: cut
        ? []
        : (entry.data ?? []).map((data) => ({ type, name, class: "IN", ttl: entry.ttl ?? 60, data })),
    });
  };
  const stream = (socket: Socket) => {
    let rest = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const end = 2 + rest.readUInt16BE(0);
        const answer = reply(kind === "tls" ? "tls" : "tcp", rest.subarray(2, end));
        rest = rest.subarray(end);
        if (answer !== undefined) {
          const length = Uint8Array.of(answer.length >> 8, answer.length & 0xff);
          socket.write(Buffer.concat([length, answer]));
        }
      }
    });
  };
  const pems = certificate && { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) };
  const server: Server = kind === "tls"
    ? createTlsServer(pems!, stream)
    : kind === "https"
    ? createHttpsServer(pems!, (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const right = request.method === "POST" &&
          request.headers["content-type"] === "application/dns-message";
        const answer = right ? reply(`https ${request.url}`, Buffer.concat(chunks)) : undefined;
        response.statusCode = right ? 200 : 400;
        response.setHeader("content-type", "application/dns-message");
        response.end(answer);
      });
    })
    : createServer(stream);
  server.on("connection", () => connections++);
  const streams = await listen(server);
  const { port } = streams;
  const datagrams = createSocket("udp4");
  const elsewhere = createSocket("udp4");
  datagrams.on("message", (message, { address, port }) => {
    const answer = reply("udp", message);
    if (answer === undefined) return;
    // Somebody who guesses sends first: from another port, with another id, with the question itself, of another name.
    const { id, questions: [{ name, type }] } = packet.decode(message);
    const forged = (id: number, name: string) =>
      packet.encode({
        type: "response",
        id,
        questions: [{ name, type, class: "IN" }],
        answers: [{ type: "A", name, class: "IN", ttl: 60, data: "192.0.2.66" }],
      });
    elsewhere.send(forged(id, name), port, address, () => {
      for (const datagram of [forged(id ^ 0xff00, name), message, forged(id, "other.test"), answer]) {
        datagrams.send(datagram, port, address);
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    datagrams.once("error", reject);
    datagrams.bind(port, "127.0.0.1", () => resolve());
  });
  const close = async () => {
    for (const socket of [elsewhere, datagrams]) {
      await new Promise<void>((resolve) => socket.close(() => resolve()));
    }
    await streams[Symbol.asyncDispose]();
  };
  let closing: Promise<void> | undefined;
  return {
    port,
    asked,
    connections: () => connections,
    // A test may stop it to see what follows, and so before its scope does.
    async [Symbol.asyncDispose]() {
      await (closing ??= close());
    },
  };
}
