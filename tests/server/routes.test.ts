/**
 * Routes on a running server: the first that matches decides, and the log says which it was.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { origin } from "../http/talk.ts";
import { proxy } from "../http/proxying.ts";
import { fromUtf8 } from "../support/bytes.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { clients, http, socks4, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
let hop: Serving;
before(async () => {
  echo = stack.use(await echoOrigin());
  hop = stack.use(await serving());
});
after(() => stack.disposeAsync());

const rejected = { socks5: 2, socks4: 91, http: 403 };
const exit = () => ({ exit: `socks5://127.0.0.1:${hop.at.port}` });

/** Whether an echo comes back through a client's tunnel; if not, the code of the refusal. */
async function echoes(at: { hostname: string; port: number }, client = socks5, target = echo as typeof at) {
  using wire = await Wire.to(at);
  wire.send(client.ask(target));
  const code = await client.answer(wire);
  if (code !== client.success) return code;
  wire.send("hello");
  return fromUtf8(await wire.read(5)) === "hello";
}

test("the first route that matches decides; the log has its number and the names of its hops", async () => {
  await using house = await serving({
    hops: exit(),
    chains: { out: ["exit"] },
    routes: [
      { to: ["*.nowhere.test"], via: "reject" },
      { to: [echo.address], via: "out" },
      { via: "direct" },
    ],
  });
  assertEquals(await echoes(house.at), true);
  const { fields } = await house.logged("tunnel.closed");
  assertEquals([fields.route, fields.via], [2, ["exit"]]);
  assertEquals((await hop.logged("tunnel.closed")).fields.target, echo.address);
  assertEquals(await echoes(house.at, socks5, { hostname: "localhost", port: echo.port }), true);
  const local = (await house.logged("tunnel.closed", 2)).fields;
  assertEquals([local.route, local.via], [2, ["exit"]], "it would go directly, so its address is known");
  assertEquals(await echoes(house.at, socks5, { hostname: "127.0.0.1", port: 1 }), 5);
  const { fields: { route, via } } = await house.logged("tunnel.failed");
  assertEquals([route, via], [3, []]);
});

test("hops that stand in a route, and several chains", async () => {
  await using near = await serving();
  await using house = await serving({
    hops: exit(),
    chains: { a: ["http://127.0.0.1:1"], b: ["exit"] },
    routes: [{ to: ["localhost"], via: "a" }, { via: [`http://127.0.0.1:${near.at.port}`, "exit"] }],
  });
  assertEquals(await echoes(house.at), true);
  const { fields } = await house.logged("tunnel.closed");
  assertEquals([fields.route, fields.via], [2, [`http://127.0.0.1:${near.at.port}`, "exit"]]);
  assertEquals(await echoes(house.at, socks5, { hostname: "LOCALHOST", port: echo.port }), 5);
  const failed = (await house.logged("tunnel.failed")).fields;
  assertEquals([failed.route, failed.error.hop, failed.error.code], [1, 1, "refused"]);
});

for (const client of clients) {
  test(`what is rejected, and what no route is for, is denied to ${client.protocol} without a connection`, async () => {
    await using house = await serving({
      routes: [{ to: ["*:25"], via: "reject" }, { to: ["*:26"], via: "direct" }],
    });
    assertEquals(
      await echoes(house.at, client, { hostname: "127.0.0.1", port: 25 }),
      rejected[client.protocol],
    );
    assertEquals(await echoes(house.at, client), rejected[client.protocol]);
    const [first, second] = [await house.logged("tunnel.failed"), await house.logged("tunnel.failed", 2)];
    assertEquals([first.fields.route, first.fields.via], [1, []]);
    assertEquals(first.fields.error, {
      code: "denied",
      hop: 0,
      label: "hopline",
      stage: "request",
      message: "route 1 rejects this",
    });
    assertEquals([second.fields.target, "route" in second.fields], [echo.address, false]);
    assertMatch(second.fields.error.message, /no route matches/);
  });
}

test("clients are told apart by address, user, listener and protocol", async () => {
  const users = [{ username: "alice", password: "x" }, { username: "bob", password: "x" }];
  await using house = await serving({
    listeners: [
      "127.0.0.1:0",
      { address: "localhost:0", users },
      `tcp://127.0.0.2:0/${echo.address}`,
    ],
    routes: [
      { from: ["10.0.0.0/8"], via: "reject" },
      { users: ["alice"], via: "reject" },
      { listeners: ["localhost:0"], protocols: ["http"], via: "reject" },
      { listeners: ["localhost:0"], via: "direct" },
      { protocols: ["tcp"], from: ["127.0.0.0/8"], via: "direct" },
      { protocols: ["socks4", "http"], via: "direct" },
    ],
  });
  const [open, guarded, forward] = house.server.addresses;
  const asUser = (username: string, client: typeof socks5) => ({
    ...client,
    ask: (target: typeof open) => client.ask(target, { username, password: "x" }),
  });
  assertEquals(await echoes(open, socks5), 2);
  assertEquals(await echoes(open, socks4), true);
  assertEquals(await echoes(open, http), true);
  assertEquals(await echoes(guarded, asUser("alice", socks5)), 2);
  assertEquals(await echoes(guarded, asUser("bob", http)), 403);
  assertEquals(await echoes(guarded, asUser("bob", socks5)), true);
  using wire = await Wire.to(forward);
  wire.send("hello");
  assertEquals(fromUtf8(await wire.read(5)), "hello");
  wire.end();
  const routed = async (event: string, n: number) => (await house.logged(event, n)).fields.route;
  assertEquals(await Promise.all([1, 2, 3, 4].map((n) => routed("tunnel.closed", n))), [6, 6, 4, 5]);
  assertEquals(await Promise.all([1, 2, 3].map((n) => routed("tunnel.failed", n))), [undefined, 2, 3]);
});

test("requests of one client to one server that go different ways share no connection", async () => {
  await using web = await origin();
  const credentials = { username: "alice", password: "s3cret" };
  const { hostname, port } = hop.at;
  await using hopline = await proxy({
    listeners: [{ address: "127.0.0.1:0", users: [credentials, { username: "bob", password: "s3cret" }] }],
    routes: [
      { users: ["alice"], via: [`http://${hostname}:${port}`] },
      { users: ["bob"], via: "direct" },
    ],
  });
  using client = await hopline.client();
  for (const user of ["alice", "bob", "alice", "bob"]) {
    const login = `Proxy-Authorization: Basic ${btoa(`${user}:s3cret`)}`;
    client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n${login}\r\n\r\n`);
    await client.message();
  }
  assertEquals(web.requests.map(({ connection }) => connection), [0, 1, 0, 1]);
  const routes = [1, 2, 3, 4].map(async (n) => (await hopline.logged("tunnel.closed", n)).route);
  assertEquals(await Promise.all(routes), [1, 2, 1, 2]);
});

test("without routes there is no number", async () => {
  await using house = await serving();
  assertEquals(await echoes(house.at), true);
  assertEquals("route" in (await house.logged("tunnel.closed")).fields, false);
});
