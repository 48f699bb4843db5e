/**
 * Which route wins, and when a name is looked up for it: counted at a resolver.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { validateConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { background } from "../../src/core/handshake.ts";
import { makeRouter, type Routed } from "../../src/routing/router.ts";
import { FakeConn } from "../support/fake_conn.ts";

const chains = { out: ["socks5://127.0.0.1:1"] };

/** A router whose names have these addresses, and what was looked up and connected to. */
async function routing(routes: ConfigInput["routes"], names: Record<string, string[]> = {}) {
  const lookups: string[] = [];
  const connected: string[] = [];
  const config = await validateConfig({ chains, routes });
  const router = makeRouter(config, {
    network: {
      connect: ({ hostname }) => {
        connected.push(hostname);
        return Promise.resolve(new FakeConn());
      },
      resolve: (hostname, family) => {
        if (family === 4) lookups.push(hostname);
        const found = names[hostname] ?? [];
        return Promise.resolve(found.filter((address) => address.includes(":") === (family === 6)));
      },
    },
    timeouts: config.timeouts,
  });
  return {
    lookups,
    connected,
    ask: async (hostname: string, port = 443): Promise<Routed> =>
      await router({ target: { hostname, port } }, background),
  };
}

test("a name that goes to a hop is not looked up, whatever blocks of addresses stand before", async () => {
  const { ask, lookups } = await routing([
    { to: ["*.corp.example", "10.0.0.0/8", "fd00::/8"], via: "direct" },
    { to: ["192.168.0.0/16"], via: "reject" },
    { via: "out" },
  ], { "www.example.com": ["10.0.0.1"] });
  assertEquals((await ask("www.example.com")).route, 3);
  assertEquals((await ask("a.corp.example")).route, 1);
  assertEquals((await ask("10.1.2.3")).route, 1);
  assertEquals((await ask("0x0a.1")).route, 1);
  assertEquals((await ask("192.168.1.1")).route, 2);
  assertEquals(lookups, []);
});

test("a name that goes directly is looked up once for the blocks before its route, and what was found is dialled", async () => {
  const { ask, lookups, connected } = await routing([
    { to: ["10.0.0.0/8:443"], via: "reject" },
    { to: ["172.16.0.0/12"], via: "out" },
    { to: ["192.168.0.0/16"], via: "direct" },
    { via: "direct" },
    { to: ["203.0.113.0/24"], via: "reject" },
  ], {
    "ten.example": ["10.0.0.1"],
    "seventeen.example": ["192.0.2.1", "172.16.0.1"],
    "both.example": ["192.0.2.1", "192.168.0.1", "2001:db8::1"],
    "other.example": ["203.0.113.1"],
  });
  assertEquals((await ask("ten.example")).route, 1);
  assertEquals((await ask("ten.example", 80)).route, 4);
  assertEquals((await ask("seventeen.example")).route, 2);
  const both = await ask("both.example");
  const other = await ask("other.example");
  assertEquals([both.route, other.route], [3, 4]);
  assertEquals(lookups, ["ten.example", "ten.example", "seventeen.example", "both.example", "other.example"]);
  for (const { dialer } of [both, other]) await dialer.dial({ hostname: "both.example", port: 1 });
  assertEquals(connected, ["192.168.0.1", "203.0.113.1"], "the addresses that the route is for");
  assertEquals(lookups.length, 5, "and no second lookup");
});

test("a route may ask for a lookup; when there is no address the hop may still know the name", async () => {
  const { ask, lookups } = await routing([
    { to: ["10.0.0.0/8"], resolve: true, via: "direct" },
    { to: ["192.168.0.0/16"], via: "reject" },
    { via: "out" },
  ], { "ten.example": ["10.0.0.1"], "home.example": ["192.168.0.1"] });
  assertEquals((await ask("ten.example")).route, 1);
  assertEquals((await ask("home.example")).route, 3, "the second route does not ask");
  assertEquals((await ask("unknown.example")).route, 3);
  assertEquals(lookups, ["ten.example", "home.example", "unknown.example"]);
});

test("a block that can't match for another reason is no reason for a lookup", async () => {
  const { ask, lookups } = await routing([
    { to: ["10.0.0.0/8:25"], via: "reject" },
    { to: ["10.0.0.0/8"], from: ["192.0.2.0/24"], via: "reject" },
    { via: "direct" },
  ]);
  assertEquals((await ask("www.example.com")).route, 3);
  assertEquals(lookups, []);
});

test("a name without an address that would go directly fails as such", async () => {
  const { ask } = await routing([{ to: ["10.0.0.0/8"], via: "reject" }, { via: "direct" }]);
  const error = await assertRejects(() => ask("unknown.example"), ProxyError, "has no address");
  assertEquals([error.code, error.stage], ["resolve", "resolve"]);
});

test("what no route is for is refused and not looked up", async () => {
  const { ask, lookups } = await routing([{ to: ["10.0.0.0/8"], via: "direct" }]);
  const { dialer, route } = await ask("www.example.com");
  const error = await assertRejects(() => dialer.dial({ hostname: "www.example.com", port: 1 }), ProxyError);
  assertEquals([route, error.code, error.message, lookups], [undefined, "denied", "no route matches", []]);
});

test("routes by the same chain share its way; others do not", async () => {
  const { ask } = await routing([
    { to: ["a"], via: "out" },
    { to: ["b"], via: "out" },
    { to: ["c"], via: ["socks5://127.0.0.1:1"] },
    { to: ["d"], via: ["socks5://127.0.0.1:1"] },
  ]);
  const [a, b, c, d] = await Promise.all(["a", "b", "c", "d"].map((name) => ask(name)));
  assertEquals([a.way === b.way, a.way === c.way, c.way === d.way], [true, false, false]);
});
