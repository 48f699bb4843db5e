/**
 * TLS as its bytes travel: in any pieces, in three layers, and with every way to stop short.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { BufferedConn, type Conn } from "../../src/core/conn.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { background, deadline } from "../../src/core/handshake.ts";
import { RecordWatch } from "../../src/core/tls_records.ts";
import { tlsHop } from "../../src/protocols/tls.ts";
import { memoryPair } from "../support/memory.ts";
import {
  ending,
  expectPattern,
  outcome,
  pattern,
  readAll,
  readExactly,
  readText,
  rest,
  send,
  writeText,
} from "../support/traffic.ts";
import { credentials, onDeno, type Pair, secured, socketPair } from "./transports.ts";

/** Exchanges a little both ways and ends in good order. */
async function converse([client, server]: Pair): Promise<void> {
  await Promise.all([send(client, 3000), expectPattern(server, 3000)]);
  await Promise.all([send(server, 3000), expectPattern(client, 3000)]);
  client.close();
  server.close();
}

/** Starts the client's handshake over a connection. */
async function secureClient(conn: Conn, ctx = background): Promise<Conn> {
  const { client } = await credentials();
  return await tlsHop(client).wrap({ dial: () => Promise.resolve(conn) }).dial({
    hostname: "localhost",
    port: 443,
  }, ctx);
}

async function secureServer(conn: Conn, ctx = background): Promise<Conn> {
  const { terminator } = await credentials();
  return await terminator.accept(conn, ctx);
}

for (const layers of [1, 2, 3]) {
  test(`${layers} layers deep, one byte at a time`, async () => {
    await converse(await secured(memoryPair({ chunk: 1 }), layers));
  });
}

/** What TLS is terminated on: a stream of ours, and a socket, whose runtime may have means of its own. */
const carriers = [
  ["in memory", () => Promise.resolve(memoryPair())],
  ["on sockets", socketPair],
] as const;

for (const [where, open] of carriers) {
  test(`${where}: a ClientHello whose first bytes a sniffer gave back`, async () => {
    const [a, b] = await open();
    const dialling = secureClient(a);
    const sniffed = BufferedConn.of(b);
    await sniffed.fill();
    assertEquals(sniffed.buffered[0], 0x16);
    await converse(await Promise.all([dialling, secureServer(sniffed)]));
  });

  test(`${where}: a ClientHello that comes byte by byte`, async () => {
    const [a, b] = await open();
    const accepting = secureServer(b);
    const client = await secureClient(inPieces(a, 1));
    await converse([client, await accepting]);
  });

  test(`${where}: what the client sends together with the end of its handshake is not lost`, async () => {
    const [a, b] = await open();
    const accepting = secureServer(b);
    const client = await secureClient(a);
    await Promise.all([writeText(client, "early"), client.closeWrite()]);
    assertEquals(await readText(await accepting), "early");
  });

  test(`${where}: what the server sends before it is asked, and its end, are not lost`, async () => {
    const [a, b] = await open();
    const speaking = secureServer(b).then(async (server) => {
      await writeText(server, "220 welcome");
      await server.closeWrite();
      return server;
    });
    const client = await secureClient(a);
    assertEquals(await readText(client), "220 welcome");
    await writeText(client, "thanks");
    assertEquals(await readExactly(await speaking, 6), "thanks");
  });

  test(`${where}: 50 handshakes at once`, async () => {
    const pairs = Array.from({ length: 50 }, async () => await secured(await open()));
    await Promise.all(pairs.map(async (pair) => await converse(await pair)));
  });
}

test("16 MiB each way through three layers", async () => {
  const [client, server] = await secured(await socketPair(), 3);
  const n = 16 << 20;
  await Promise.all([
    send(client, n),
    expectPattern(server, n),
    send(server, n),
    expectPattern(client, n),
  ]);
  client.close();
  server.close();
});

for (
  const [where, open, side, other] of [
    ["in memory", carriers[0][1], secureClient, "server"],
    ["in memory", carriers[0][1], secureServer, "client"],
    ["on sockets", carriers[1][1], secureServer, "client"],
  ] as const
) {
  const who = other === "server" ? "upstream" : "client";

  test(`${where}: a ${other} that does not speak TLS`, async () => {
    const [a, b] = await open();
    const securing = side(a);
    await writeText(b, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    const error = await assertRejects(() => securing, ProxyError, "does not speak TLS");
    assertEquals([error.code, error.side, error.stage], ["tls", who, "tls"]);
    await ending(b);
  });

  test(`${where}: a ${other} that ends without a word`, async () => {
    const [a, b] = await open();
    const securing = side(a);
    b.close();
    const error = await assertRejects(() => securing, ProxyError, "ended within the TLS handshake");
    assertEquals([error.code, error.side, error.stage], ["tls", who, "tls"]);
  });

  test(`${where}: a ${other} that ends within its handshake`, async () => {
    const [a, b] = await open();
    const securing = side(a);
    await b.write(Uint8Array.of(0x16, 3, 3, 0, 200, other === "server" ? 2 : 1, 0, 0, 196, 3, 3));
    await b.closeWrite();
    const error = await assertRejects(() => securing, ProxyError, "ended within the TLS handshake");
    assertEquals([error.code, error.side, error.stage], ["tls", who, "tls"]);
    await ending(b);
  });

  test(`${where}: a ${other} that resets within its handshake`, async () => {
    const [a, b] = await open();
    const securing = side(a);
    await b.write(Uint8Array.of(0x16, 3, 3));
    b.abort();
    const error = await assertRejects(() => securing, ProxyError);
    assertEquals([error.code, error.side, error.stage], ["tls", who, "tls"]);
  });

  test(`${where}: a ${other} that is silent, until the deadline`, async () => {
    const [a, b] = await open();
    const { ctx, done } = deadline(undefined, 100);
    const error = await assertRejects(() => side(a, ctx), ProxyError, "in the TLS handshake");
    done();
    assertEquals([error.code, error.side, error.stage], ["timeout", who, "tls"]);
    await ending(b);
  });

  test(`${where}: a ${other} for whom it is too late`, async () => {
    const [a, b] = await open();
    const reason = new Error("stopped");
    assertEquals(await side(a, { signal: AbortSignal.abort(reason) }).catch((error) => error), reason);
    await ending(b);
  });

  test(`${where}: a ${other} that is silent, until the signal`, async () => {
    const [a, b] = await open();
    const controller = new AbortController();
    const securing = side(a, { signal: controller.signal });
    assertEquals(await outcome(securing, 50), "pending");
    const reason = new Error("stopping");
    controller.abort(reason);
    assertEquals(await securing.catch((error) => error), reason);
    await ending(b);
  });
}

for (
  const [where, open, side] of [
    ["in memory", carriers[0][1], "client"],
    ["in memory", carriers[0][1], "server"],
    ["on sockets", carriers[1][1], "server"],
  ] as const
) {
  for (const layers of [1, 2]) {
    for (const cut of ["an end", "a reset"]) {
      test(`${where}: ${cut} without close_notify fails at the ${side}, ${layers} layers deep`, async () => {
        const [a, b] = await open();
        const [client, server] = await secured([a, b], layers);
        const [sender, raw, receiver] = side === "client" ? [server, b, client] : [client, a, server];
        await writeText(sender, "not all of it");
        assertEquals(await readExactly(receiver, 13), "not all of it");
        if (cut === "an end") raw.close();
        else raw.abort();
        assertEquals(await ending(receiver), "error");
        assertEquals(await ending(receiver), "error");
      });
    }
  }
}

// Deno's `node:tls` tells neither a cut nor the keys: a cut behind a record of an alert's length passes for an end.
test("a cut behind two bytes of data is told from an end, except on Deno", async () => {
  const [a, b] = memoryPair();
  const [client, server] = await secured([a, b]);
  await writeText(server, "no");
  assertEquals(await readExactly(client, 2), "no");
  b.close();
  assertEquals(await ending(client), onDeno ? "end" : "error");
});

/** A connection whose outgoing records are watched. */
function watched(conn: Conn): { conn: Conn; records: RecordWatch } {
  const records = new RecordWatch();
  const write = (p: Uint8Array) => {
    records.see(p);
    return conn.write(p);
  };
  const watching: Partial<Conn> = { write };
  return { conn: Object.setPrototypeOf(watching, bound(conn)), records };
}

function bound(conn: Conn): Conn {
  return {
    localAddr: null,
    remoteAddr: null,
    read: (p) => conn.read(p),
    write: (p) => conn.write(p),
    closeWrite: () => conn.closeWrite(),
    close: () => conn.close(),
    abort: () => conn.abort(),
  };
}

/** A connection that takes no more than `size` bytes at a time. */
function inPieces(conn: Conn, size: number): Conn {
  return {
    ...bound(conn),
    write: async (p) => {
      for (let at = 0; at < p.length; at += size) await conn.write(p.subarray(at, at + size));
    },
  };
}

for (const how of ["close", "closeWrite"] as const) {
  test(`${how} sends a close_notify behind the data`, async () => {
    const [a, b] = memoryPair();
    const [mine, theirs] = [watched(a), watched(b)];
    const [client, server] = await secured([mine.conn, theirs.conn]);
    for (const [{ records }, conn, peer] of [[mine, client, server], [theirs, server, client]] as const) {
      await writeText(conn, "all of it");
      assert(!records.closed);
      await conn[how]();
      assertEquals(await readText(peer), "all of it");
      assert(records.closed);
      if (how === "close") break;
    }
  });
}

test("a half-close does not end the connection below: a proxy on the way may lose half-closes", async () => {
  const [a, b] = memoryPair();
  let ended = 0;
  const counting = (conn: Conn): Conn => ({
    ...bound(conn),
    closeWrite: () => Promise.resolve(void ended++),
  });
  const [client, server] = await secured([counting(a), counting(b)], 2);
  await Promise.all([client.closeWrite(), server.closeWrite()]);
  assertEquals([await readText(client), await readText(server)], ["", ""]);
  assertEquals(ended, 0);
  client.close();
  server.close();
});

for (const how of ["close", "closeWrite"] as const) {
  test(`the close_notify gets through a slow connection, after ${how}`, async () => {
    const [a, b] = memoryPair();
    const slow = (conn: Conn): Conn => ({
      ...bound(conn),
      write: async (p) => {
        await rest(20);
        await conn.write(p);
      },
    });
    const [client, server] = await secured([slow(a), slow(b)], 2);
    await server.closeWrite();
    assertEquals(await readText(client), "");
    const sending = (async () => {
      for (const piece of pattern(100_000)) await client.write(piece);
      await client[how]();
    })();
    await Promise.all([sending, expectPattern(server, 100_000)]);
  });
}

test("close with data that the peer does not read gives up in the end", async () => {
  const [client, server] = await secured(memoryPair());
  const writing = outcome(readAll(client, () => {}), 60_000);
  const pushing = outcome(send(client, 4 << 20), 60_000);
  client.close();
  assertEquals(await pushing, "error");
  assert(await writing !== "pending");
  server.close();
});
