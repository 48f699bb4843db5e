/**
 * HTTP/2 over sockets and TLS, with `node:http2` on the other side, as client and as proxy.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { test } from "node:test";
import { chain, type Fields, h2, type Level, serve } from "../../mod.ts";
import { authority } from "../support/certificates.ts";
import { failureOf } from "../support/errors.ts";
import { afterEndOrigin, blob, echoOrigin, type Origin, sha256, webOrigin } from "../support/origins.ts";
import { eventually } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { readText, writeText } from "../support/traffic.ts";

const pem = (file: string) => readFileSync(file, "utf8");

/** A Hopline in this process, with certificates, and its log. */
async function listener(scheme = "auto", query = "") {
  const directory = temporaryDirectory();
  const ca = await authority(directory, "ca");
  const { cert, key } = await ca.issue("localhost", "127.0.0.1");
  const events: [level: Level, event: string, fields: Fields][] = [];
  const server = await serve({
    listeners: [`${scheme}://127.0.0.1:0?cert=${cert}&key=${key}${query}`],
    timeouts: { drain: "20s" },
  }, { log: (level, event, fields = {}) => void events.push([level, event, fields]) });
  const { port } = server.addresses[0];
  return {
    server,
    port,
    events,
    ca: pem(ca.file),
    cert: pem(cert),
    key: pem(key),
    async [Symbol.asyncDispose]() {
      await server.close(0);
      directory[Symbol.dispose]();
    },
  };
}

/** A tunnel through a client's connection; resolves to its stream and the status. */
async function tunnel(
  session: ClientHttp2Session,
  authority: string,
  more = {},
): Promise<[ClientHttp2Stream, number]> {
  const stream = session.request({ ":method": "CONNECT", ":authority": authority, ...more }, {
    endStream: false,
  });
  const status = await new Promise<number>((resolve, reject) => {
    stream.once("response", (headers) => resolve(Number(headers[":status"])));
    stream.once("error", reject);
  });
  stream.on("error", () => {});
  return [stream, status];
}

function text(stream: ClientHttp2Stream | ServerHttp2Stream): Promise<string> {
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("end", () => resolve(Buffer.concat(chunks).toString()));
    stream.once("error", reject);
  });
}

const ended = (session: ClientHttp2Session) => new Promise<void>((resolve) => session.close(resolve));

for (const secure of [true, false]) {
  test(`a client ${secure ? "by ALPN inside TLS" : "by prior knowledge"}: half-close, and a refusal beside it`, async () => {
    await using hopline = await listener();
    await using origin = await afterEndOrigin();
    const session = secure
      ? http2.connect(`https://localhost:${hopline.port}`, { ca: hopline.ca })
      : http2.connect(`http://127.0.0.1:${hopline.port}`);
    const [stream, status] = await tunnel(session, origin.address);
    assertEquals(status, 200);
    stream.end("what comes back only behind the end");
    assertEquals(await text(stream), "what comes back only behind the end");
    const [refused, code] = await tunnel(session, "127.0.0.1:1");
    assertEquals(code, 502);
    assertMatch(await text(refused), /^connect: connection refused/);
    await ended(session);
    const [, , closed] = await eventually(
      "the log",
      () => hopline.events.find(([, event]) => event === "tunnel.closed"),
    );
    assertEquals([closed.protocol, closed.target], ["h2", origin.address]);
  });
}

test("100 tunnels of a client on one connection, each with a MiB", async () => {
  await using hopline = await listener();
  await using origin = await webOrigin();
  const session = http2.connect(`http://127.0.0.1:${hopline.port}`);
  await Promise.all(Array.from({ length: 100 }, async () => {
    const [stream] = await tunnel(session, origin.address);
    const hash = new Promise<string>((resolve, reject) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.once("end", () => resolve(sha256(Buffer.concat(chunks).subarray(-blob.length))));
      stream.once("error", reject);
    });
    stream.write("GET /blob HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n");
    assertEquals(await hash, sha256(blob));
    stream.end();
  }));
  await ended(session);
});

test("a server that drains says so, and lets the tunnel go on to its end", async () => {
  await using hopline = await listener();
  await using origin = await afterEndOrigin();
  const session = http2.connect(`http://127.0.0.1:${hopline.port}`);
  session.on("error", () => {});
  const [stream] = await tunnel(session, origin.address);
  const goaway = new Promise<number>((resolve) => session.once("goaway", resolve));
  const closed = hopline.server.close();
  assertEquals(await goaway, 0);
  stream.end("finished in peace");
  assertEquals(await text(stream), "finished in peace");
  await closed;
});

test("a new configuration is for new connections: the old one gets GOAWAY, and its tunnel goes on", async () => {
  await using hopline = await listener();
  await using origin = await afterEndOrigin();
  const before = http2.connect(`http://127.0.0.1:${hopline.port}`);
  const [stream] = await tunnel(before, origin.address);
  const goaway = new Promise<number>((resolve) => before.once("goaway", resolve));
  const users = [{ username: "alice", password: "secret" }];
  await hopline.server.replace({ listeners: [{ address: "127.0.0.1:0", users }] });
  assertEquals(await goaway, 0);
  const after = http2.connect(`http://127.0.0.1:${hopline.port}`);
  const [refused, status] = await tunnel(after, origin.address);
  assertEquals(status, 407);
  refused.close();
  stream.end("under the old one");
  assertEquals(await text(stream), "under the old one");
  after.destroy();
});

test("a listener without HTTP says so in HTTP/2's words", async () => {
  await using hopline = await listener("socks5+tls");
  const socket = await import("node:tls").then((tls) =>
    tls.connect({ host: "127.0.0.1", port: hopline.port, ca: hopline.ca, servername: "localhost" })
  );
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  await new Promise((resolve) => socket.once("close", resolve));
  assertStringIncludes(Buffer.concat(chunks).toString("latin1"), "does not speak http");
});

/** An HTTP/2 proxy made of `node:http2`. */
async function nodeProxy({ cert, key }: { cert: string; key: string }, alpn = true) {
  const server = http2.createSecureServer({ cert, key, ...(alpn ? {} : { ALPNProtocols: ["http/1.1"] }) });
  let sessions = 0;
  server.on("session", (session) => {
    sessions++;
    session.on("error", () => {});
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    const [host, port] = String(headers[":authority"]).split(":");
    const socket = connectTcp({ host, port: Number(port), allowHalfOpen: true }, () => {
      stream.respond({ ":status": 200 });
      socket.pipe(stream);
      stream.pipe(socket);
    });
    socket.on("error", () => {
      if (stream.headersSent) return stream.close(http2.constants.NGHTTP2_CONNECT_ERROR);
      stream.respond({ ":status": 502, "proxy-status": "x; error=connection_refused" }, { endStream: true });
    });
    stream.on("close", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    sessions: () => sessions,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

test("node:http2 as a hop: tunnels share a connection, ends and failures come through", async () => {
  await using certificates = await listener();
  const proxy = await nodeProxy(certificates);
  await using origin: Origin = await echoOrigin();
  const hop = h2(`localhost:${proxy.port}`, { tls: { ca: certificates.ca } });
  const dialer = chain([hop]);
  const target = { hostname: "127.0.0.1", port: origin.port };
  await Promise.all(Array.from({ length: 50 }, async (_, index) => {
    const conn = await dialer.dial(target);
    await writeText(conn, `tunnel ${index}`);
    await conn.closeWrite();
    assertEquals(await readText(conn), `tunnel ${index}`);
    conn.close();
  }));
  assertEquals(proxy.sessions(), 1);
  const failure = await failureOf(dialer.dial({ hostname: "127.0.0.1", port: 1 }));
  assertEquals([failure.code, failure.hop, failure.stage], ["refused", 1, "request"]);
  assert(failure.label?.startsWith("h2://localhost:"));
});

test("a server that offers only HTTP/1.1 is refused by h2://, at the stage of TLS", async () => {
  await using hopline = await listener();
  const tls = await import("node:tls");
  const server = tls.createServer(
    { cert: hopline.cert, key: hopline.key },
    (socket) => socket.on("error", () => {}),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const dialer = chain([h2(`localhost:${port}`, { tls: { ca: hopline.ca } })]);
  const failure = await failureOf(dialer.dial({ hostname: "a.example", port: 1 }));
  assertEquals([failure.code, failure.hop, failure.stage], ["tls", 1, "tls"]);
  assertStringIncludes(failure.message, "does not speak HTTP/2");
  server.close();
});
