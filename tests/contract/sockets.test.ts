/**
 * What only a runtime's own sockets have: dialling, listening, addresses and descriptors.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { BufferedConn, type Conn, type Endpoint, type Listener } from "../../src/core/conn.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { background, deadline, drive, read } from "../../src/core/handshake.ts";
import { silentPort } from "../support/backlog.ts";
import { eventually } from "../support/process.ts";
import { freePort } from "../support/temporary.ts";
import { outcome, readExactly, readText, writeText } from "../support/traffic.ts";
import { runtime, socketPair, transports } from "./transports.ts";

async function listen(hostname: string, port = 0): Promise<Listener & Disposable> {
  const listener = await runtime.listen({ hostname, port });
  return Object.assign(listener, { [Symbol.dispose]: () => listener.close() });
}

/** One connection to a listener, from both ends. */
async function meet(listener: Listener, at: Endpoint): Promise<[client: Conn, server: Conn]> {
  const [client, { value }] = await Promise.all([
    runtime.connect(at, background),
    listener[Symbol.asyncIterator]().next(),
  ]);
  return [client, value];
}

test("port 0 listens on a port that can be dialled", async () => {
  using listener = await listen("127.0.0.1");
  assert(listener.addr.port > 0);
  assertEquals(listener.addr.hostname, "127.0.0.1");
  const [client, server] = await meet(listener, listener.addr);
  client.close();
  server.close();
});

for (
  const [bound, dialled] of [
    ["127.0.0.1", "127.0.0.1"],
    ["127.9.8.7", "127.9.8.7"],
    ["0.0.0.0", "127.0.0.1"],
    ["::1", "::1"],
    ["::", "::1"],
    ["::", "127.0.0.1"],
  ]
) {
  test(`a listener on ${bound} is reached at ${dialled}, and both ends know each other's address`, async () => {
    using listener = await listen(bound);
    const at = { hostname: dialled, port: listener.addr.port };
    const [client, server] = await meet(listener, at);
    assertEquals(client.remoteAddr, at);
    assertEquals(server.localAddr, at);
    assertEquals(server.remoteAddr, client.localAddr);
    assert(client.localAddr!.port > 0);
    await writeText(client, "here");
    assertEquals(await readExactly(server, 4), "here");
    client.close();
    server.close();
  });
}

test("a closed port refuses", async () => {
  const port = await freePort();
  const error = await assertRejects(
    () => runtime.connect({ hostname: "127.0.0.1", port }, background),
    ProxyError,
    `connection refused: 127.0.0.1:${port}`,
  );
  assertEquals([error.code, error.side, error.stage], ["refused", "upstream", "connect"]);
});

test("a dial that nobody answers is cancelled by its deadline", async () => {
  await using silent = await silentPort();
  const { ctx, done } = deadline(undefined, 300);
  const error = await assertRejects(() => runtime.connect(silent, ctx), ProxyError);
  done();
  assertEquals(error.code, "timeout");
});

test("a dial that nobody answers is cancelled by its signal, with the signal's reason", async () => {
  await using silent = await silentPort();
  const controller = new AbortController();
  const dialling = runtime.connect(silent, { signal: controller.signal });
  assertEquals(await outcome(dialling, 100), "pending");
  const reason = new Error("not wanted any more");
  controller.abort(reason);
  assertEquals(await dialling.catch((error) => error), reason);
});

test("a dial that is cancelled as it succeeds leaves no connection behind", async () => {
  using listener = await listen("127.0.0.1");
  const accepting = listener[Symbol.asyncIterator]();
  for (let round = 0; round < 20; round++) {
    const controller = new AbortController();
    const dialling = runtime.connect(listener.addr, { signal: controller.signal });
    controller.abort(new Error("not wanted any more"));
    await assertRejects(() => dialling, Error, "not wanted any more");
    const { value: server } = await accepting.next();
    assert(await outcome(readText(server), 5000) !== "pending");
    server.close();
  }
});

test("a dial with a signal that has aborted does not begin", async () => {
  using listener = await listen("127.0.0.1");
  const reason = new Error("too late");
  const dialling = runtime.connect(listener.addr, { signal: AbortSignal.abort(reason) });
  assertEquals(await dialling.catch((error) => error), reason);
});

test("listening on a taken port fails and says so", async () => {
  using listener = await listen("127.0.0.1");
  const error = await assertRejects(() => runtime.listen(listener.addr), ProxyError, "the port is in use");
  assertEquals(error.side, "local");
});

test("listening on an address of another machine fails and says so", async () => {
  await assertRejects(
    () => runtime.listen({ hostname: "192.0.2.1", port: 0 }),
    ProxyError,
    "this machine does not have that address",
  );
});

test("a listener that closes ends its loop, and frees its port", async () => {
  const listener = await runtime.listen({ hostname: "127.0.0.1", port: 0 });
  const loop = (async () => {
    for await (const conn of listener) conn.close();
  })();
  (await runtime.connect(listener.addr, background)).close();
  listener.close();
  listener.close();
  await loop;
  await assertRejects(() => runtime.connect(listener.addr, background));
  (await runtime.listen(listener.addr)).close();
});

test("200 connections at once are all accepted", async () => {
  using listener = await listen("127.0.0.1");
  const serving = (async () => {
    for await (const conn of listener) {
      readText(conn).then((text) => writeText(conn, `${text}!`)).finally(() => conn.close());
    }
  })();
  const answers = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
    const conn = await runtime.connect(listener.addr, background);
    await writeText(conn, `${i}`);
    await conn.closeWrite();
    const answer = await readText(conn);
    conn.close();
    return answer;
  }));
  assertEquals(answers, Array.from({ length: 200 }, (_, i) => `${i}!`));
  listener.close();
  await serving;
});

/** Ways to end a connection, each of which frees both descriptors. */
const endings: Record<string, (client: Conn, server: Conn) => Promise<void>> = {
  async "closeWrite on both sides, then close"(client, server) {
    await Promise.all([client.closeWrite(), server.closeWrite()]);
    await Promise.all([readText(client), readText(server)]);
    client.close();
    server.close();
  },
  async "closeWrite, then close without waiting"(client, server) {
    await client.closeWrite();
    client.close();
    assertEquals(await readText(server), "");
    server.close();
  },
  async "close, while the peer stays open"(client, server) {
    client.close();
    assertEquals(await readText(server), "");
    kept.push(server);
  },
  async "close with bytes unread"(client, server) {
    await writeText(server, "unread");
    client.close();
    server.close();
  },
  async "abort on one side, close on the other"(client, server) {
    client.abort();
    await readText(server).catch(() => {});
    server.close();
  },
};
/** Peers that a test keeps open on purpose. */
const kept: Conn[] = [];

for (const [name, end] of Object.entries(endings)) {
  test(`200 connections leave no descriptor behind: ${name}`, async () => {
    const descriptors = () => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    for (let i = 0; i < 200; i++) await end(...await socketPair());
    await eventually(
      () => `${descriptors()} descriptors, ${before} before and ${kept.length} kept`,
      () => descriptors() <= before + kept.length + 10 ? true : undefined,
    );
    for (const conn of kept.splice(0)) conn.close();
    await eventually("the rest", () => descriptors() <= before + 10 ? true : undefined);
  });
}

for (const { name, open } of transports) {
  test(`${name}: a handshake that waits is cancelled by its signal`, async () => {
    const [client, server] = await open();
    const controller = new AbortController();
    const handshake = drive(BufferedConn.of(client), read(10, "an answer"), { signal: controller.signal }, {
      peer: "upstream",
    });
    await writeText(server, "half");
    assertEquals(await outcome(handshake, 50), "pending");
    const reason = new Error("stopping");
    controller.abort(reason);
    assertEquals(await handshake.catch((error) => error), reason);
    server.close();
  });
}
