/**
 * Limits: how many tunnels at a time, in all, for one client and for one user; a place that is given back can be had again.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { type Client, clients, type Credentials, http, httpAnswer, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

const refused = { socks5: 2, socks4: 91, http: 503 };

/** Asks for the echo server and answers the code of the reply. */
async function ask(
  { server }: Serving,
  client: Client,
  wires: DisposableStack,
  { user, listener = 0 }: { user?: Credentials; listener?: number } = {},
): Promise<number> {
  const wire = wires.use(await Wire.to(server.addresses[listener]));
  wire.send(client.ask(echo, user), "early");
  return await client.answer(wire);
}

for (const key of ["tunnels", "tunnelsPerClient"] as const) {
  test(`limits.${key} refuses one tunnel too many in each protocol, and names the limit`, async () => {
    await using house = await serving({ limits: { [key]: 2 } });
    using wires = new DisposableStack();
    for (const client of clients.slice(0, 2)) assertEquals(await ask(house, client, wires), client.success);
    for (const [index, client] of clients.entries()) {
      assertEquals(await ask(house, client, wires), refused[client.protocol]);
      const { fields } = await house.logged("tunnel.failed", index + 1);
      assertEquals([fields.error.code, fields.error.hop, fields.error.label], ["limit", 0, "hopline"]);
      assertMatch(fields.error.message, new RegExp(`limits\\.${key}`));
    }
  });
}

test("a client's connections that are no tunnels are limited, so that others find room", async () => {
  await using house = await serving({ limits: { tunnelsPerClient: 5 }, timeouts: { handshake: "60s" } });
  using crowd = new DisposableStack();
  const silent: Wire[] = [];
  for (let n = 0; n < 105; n++) silent.push(crowd.use(await Wire.to(house.at)));
  using late = await Wire.to(house.at);
  await late.ending();
  const { fields } = await house.logged("tunnel.failed");
  assertEquals([fields.error.code, fields.error.hop, fields.client.split(":")[0]], ["limit", 0, "127.0.0.1"]);
  assertMatch(fields.error.message, /105 connections .* \(limits\.tunnelsPerClient\)/);
  // Another client is not held to account for this one.
  using other = await Wire.to(house.at, "127.0.0.2");
  other.send(socks5.ask(echo));
  assertEquals(await socks5.answer(other), socks5.success);
  // One becomes a tunnel, another one leaves: there is room for two.
  silent[0].send(socks5.ask(echo));
  assertEquals(await socks5.answer(silent[0]), socks5.success);
  silent[1].end();
  await house.logged("tunnel.failed", 2);
  for (let n = 0; n < 2; n++) {
    using wire = await Wire.to(house.at);
    wire.send(http.ask(echo));
    assertEquals(await http.answer(wire), http.success);
  }
});

const alice = { username: "alice", password: "secret" };
const bob = { username: "bob", password: "secret" };

test("limits.tunnelsPerUser is for each user that has logged in, on all listeners and in all protocols", async () => {
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", users: [alice, bob] }, {
      address: "127.0.0.1:0",
      users: [alice],
    }, "127.0.0.1:0"],
    limits: { tunnelsPerUser: 2 },
  });
  using wires = new DisposableStack();
  assertEquals(await ask(house, socks5, wires, { user: alice }), 0);
  assertEquals(await ask(house, http, wires, { user: alice, listener: 1 }), 200);
  for (const [index, client] of [socks5, http].entries()) {
    for (const listener of [0, 1]) {
      assertEquals(await ask(house, client, wires, { user: alice, listener }), refused[client.protocol]);
    }
    const { fields } = await house.logged("tunnel.failed", 2 * index + 1);
    assertEquals([fields.error.code, fields.error.hop, fields.user], ["limit", 0, "alice"]);
    assertMatch(fields.error.message, /^this user has 2 tunnels already \(limits\.tunnelsPerUser\)/);
    assertEquals(await ask(house, client, wires, { user: bob }), client.success);
  }
  for (const client of clients) {
    assertEquals(await ask(house, client, wires, { listener: 2 }), client.success);
  }
});

test("a reload changes limits, and what has a place keeps it", async () => {
  const listeners = [{ address: "127.0.0.1:0", users: [alice] }];
  await using house = await serving({ listeners, limits: { tunnelsPerUser: 2 } });
  using wires = new DisposableStack();
  for (let tunnel = 0; tunnel < 2; tunnel++) {
    assertEquals(await ask(house, http, wires, { user: alice }), 200);
  }
  await house.server.replace({ listeners, limits: { tunnelsPerUser: 1 } });
  assertEquals(await ask(house, http, wires, { user: alice }), 503);
  await house.server.replace({ listeners });
  assertEquals(await ask(house, http, wires, { user: alice }), 200);
  assertEquals(house.events.filter(({ event }) => event === "tunnel.closed").length, 0);
});

test("a place that is given back can be had again, after successes and after failures", async () => {
  await using house = await serving({ limits: { tunnels: 1, tunnelsPerClient: 1 } });
  for (const [index, client] of [...clients, ...clients, ...clients].entries()) {
    using wires = new DisposableStack();
    assertEquals(await ask(house, client, wires), client.success);
    assertEquals(await ask(house, client, wires), refused[client.protocol]);
    wires.dispose();
    await house.logged("tunnel.closed", index + 1);
  }
});

test("a user's place that is given back can be had again", async () => {
  const listeners = [{ address: "127.0.0.1:0", users: [alice] }];
  await using house = await serving({ listeners, limits: { tunnelsPerUser: 1 } });
  for (let index = 1; index < 4; index++) {
    using wires = new DisposableStack();
    assertEquals(await ask(house, socks5, wires, { user: alice }), 0);
    assertEquals(await ask(house, http, wires, { user: alice }), 503);
    wires.dispose();
    await house.logged("tunnel.closed", index);
  }
});

test("a refusal takes no place", async () => {
  await using house = await serving({ limits: { tunnels: 1 } });
  for (let attempt = 0; attempt < 5; attempt++) {
    using wire = await Wire.to(house.at);
    wire.send(http.ask({ hostname: "127.0.0.1", port: 1 }));
    assertEquals((await httpAnswer(wire)).status, 502);
    wire.end();
    await house.logged("tunnel.failed", attempt + 1);
    await wire.ending();
  }
  using wires = new DisposableStack();
  assertEquals(await ask(house, http, wires), 200);
});

test("limits.headerBytes bounds what a handshake may take", async () => {
  await using house = await serving({ limits: { headerBytes: "1KiB" } });
  using wire = await Wire.to(house.at);
  wire.send(`CONNECT example.com:443 HTTP/1.1\r\nX: ${"x".repeat(1024)}\r\n\r\n`);
  assertEquals((await httpAnswer(wire)).status, 431);
});
