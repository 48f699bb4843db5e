/**
 * `routes` in a configuration: what is read, and what is refused, at its place.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { configFromFlags, parseConfig, validateConfig } from "../../src/config/load.ts";
import { ConfigError, formatProblem } from "../../src/config/problems.ts";
import type { RouteConfig } from "../../src/config/schema.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { hopsOf } from "./elements.ts";

const base = `{
  "listeners": [{ "address": "127.0.0.1:1080", "users": [{ "username": "alice", "password": "x" }] }, "[::1]:8080"],
  "hops": { "office": "http://office.example", "exit": "socks5://exit.example" },
  "chains": { "out": ["office", "exit"], "home": ["exit"] },
  "routes": [
    ROUTE
  ]
}`;

async function read(route: string): Promise<RouteConfig[]> {
  return [...(await parseConfig(base.replace("ROUTE", route))).routes ?? []];
}

async function problems(route: string): Promise<string[]> {
  try {
    await read(route);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem);
  }
}

test("a route is read whole", async () => {
  const [one, two, three, four] = await read(
    `{ "to": ["*.corp.example", "10.0.0.0/8:22"], "from": ["192.0.2.0/24"], "users": ["alice"],
       "listeners": ["[0::1]:8080"], "protocols": ["socks5", "sni"], "via": "out" },
     { "via": "direct" }, { "via": "reject" },
     { "via": ["office", "socks5://al:s3cret@other", { "protocol": "http", "address": "h" }] }`,
  );
  assertEquals(one, {
    number: 1,
    to: [
      { host: { below: "corp.example" } },
      { host: { block: { bytes: Uint8Array.of(10, 0, 0, 0), bits: 8 } }, ports: [22, 22] },
    ],
    from: [{ address: "192.0.2.0", prefix: 24 }],
    users: ["alice"],
    listeners: [1],
    protocols: ["socks5", "sni"],
    via: one.via,
  });
  const hops = ({ via }: RouteConfig) =>
    via === "reject" ? via : hopsOf(via.hops).map((hop) => hop.name ?? hop.address.hostname);
  assertEquals([one, two, three, four].map(hops), [["office", "exit"], [], "reject", [
    "office",
    "other",
    "h",
  ]]);
  assertEquals(four.number, 4);
});

const wrong: [route: string, expected: string[]][] = [
  [`{}`, ["routes[0].via: is missing; expected which way (`via`) or where to (`target`)"]],
  [`{ "target": "h:1", "via": "reject" }`, [
    'routes[0].target: what is rejected goes nowhere; leave `target` out, or `"via": "reject"`',
  ]],
  [`{ "target": "h" }`, ["routes[0].target: expected host:port, found no port"]],
  [`{ "target": { "address": "h:1", "tsl": {} } }`, [
    "routes[0].target.tsl: unknown key `tsl`; did you mean `tls`?",
  ]],
  [`{ "target": { "failover": ["a:1", "b"] } }`, [
    "routes[0].target.failover[1]: expected host:port, found no port",
  ]],
  [`{ "target": { "failover": ["a:1"], "check": {} } }`, [
    "routes[0].target.check: unknown key `check`; known are `failover`, `roundRobin`, `random`, " +
    "`leastTunnels`, `fastest`",
  ]],
  [`{ "target": "h:1", "via": "uot", "too": [] }`, [
    'routes[0].via: expected "direct", "reject" or a chain\'s name, found "uot"; did you mean `out`?',
    "routes[0].too: unknown key `too`; did you mean `to`?",
  ]],
  [`{ "via": 5 }`, ["routes[0].via: expected an object, a string or a list, found a number"]],
  [`{ "via": "uot" }`, [
    'routes[0].via: expected "direct", "reject" or a chain\'s name, found "uot"; did you mean `out`?',
  ]],
  [`{ "via": "office" }`, ['routes[0].via: "office" is a hop; as a list it is a way: ["office"]']],
  [`{ "via": "http://a:hunter2@h" }`, [
    'routes[0].via: hops stand in a list, even if there is one: ["scheme://host"]',
  ]],
  [`{ "via": "a:hunter2@h" }`, [
    'routes[0].via: expected "direct", "reject" or a chain\'s name, found something with an @',
  ]],
  [`{ "via": [] }`, ["routes[0].via: expected at least 1 entry, found 0"]],
  [`{ "via": ["offise"] }`, [
    'routes[0].via[0]: expected a hop\'s name or URL, found "offise"; did you mean `office`?',
  ]],
  [`{ "via": ["sock5://h"] }`, ['routes[0].via[0]: unknown scheme "sock5"; did you mean "socks5"?']],
  [`{ "via": "direct", "too": [] }`, ["routes[0].too: unknown key `too`; did you mean `to`?"]],
  [`{ "via": "direct", "to": [] }`, ["routes[0].to: expected at least 1 entry, found 0"]],
  [`{ "via": "direct", "to": ["a.*", "10.0.0.0/40", "a:90-80"] }`, [
    "routes[0].to[0]: expected a name, *.name, an address, a block such as 10.0.0.0/8 or *, " +
    'with :port or without, found "a.*"',
    'routes[0].to[1]: "10.0.0.0/40" is no block of addresses such as 10.0.0.0/8',
    'routes[0].to[2]: expected the lower port first, found "90-80"',
  ]],
  [`{ "via": "direct", "from": ["example.com"] }`, [
    'routes[0].from[0]: "example.com" is no block of addresses such as 10.0.0.0/8',
  ]],
  [`{ "via": "direct", "users": ["alicia"] }`, [
    'routes[0].users[0]: no listener has the user "alicia"; did you mean `alice`?',
  ]],
  [`{ "via": "direct", "listeners": ["127.0.0.1:1081"] }`, [
    "routes[0].listeners[0]: no listener has the address 127.0.0.1:1081; did you mean `127.0.0.1:1080`?",
  ]],
  [`{ "via": "direct", "protocols": ["socks"] }`, [
    'routes[0].protocols[0]: expected one of "socks5", "socks4", "http", "tcp" or "sni", found "socks"; ' +
    'did you mean "socks5"?',
  ]],
];

for (const [route, expected] of wrong) {
  test(`${route} is refused`, async () => {
    assertEquals((await problems(route)).map((line) => line.replace(/^\d+:\d+: /, "")), expected);
  });
}

test("a target is read as it is of a port forward, and goes directly unless via says otherwise", async () => {
  const [one, many] = await read(
    `{ "to": ["app.example"], "target": { "address": "h:1", "proxyProtocol": 2 } },
     { "target": { "random": ["a:1", { "via": "b:2", "weight": 3 }] }, "via": "out" }`,
  );
  assertEquals(one.target, { address: { hostname: "h", port: 1 }, proxyProtocol: 2 });
  assertEquals(one.via, { name: "direct", hops: [] });
  assertEquals(many.target, {
    kind: "random",
    members: [
      { address: { hostname: "a", port: 1 }, weight: 1 },
      { address: { hostname: "b", port: 2 }, weight: 3 },
    ],
  });
  assertEquals(many.via !== "reject" && many.via.name, "out");
});

test("a problem is told at its line and column", async () => {
  assertEquals(await problems('{ "via": "direct" },\n    { "to": ["*"],\n      "via": "uot" }'), [
    '8:14: routes[1].via: expected "direct", "reject" or a chain\'s name, found "uot"; did you mean `out`?',
  ]);
});

test("a variable in a hop of a route is encoded as in any hop", async () => {
  const config = await validateConfig({ routes: [{ via: ["http://a:${PASSWORD}@h"] }] }, {
    environment: (name) => name === "PASSWORD" ? "p@ss/" : undefined,
  });
  const [{ via }] = config.routes!;
  assertEquals(via === "reject" ? via : hopsOf(via.hops)[0].password, "p@ss/");
});

test("the listeners of flags take the chain of flags, in front of the routes", async () => {
  using directory = temporaryDirectory();
  const file = directory.write(
    "routes.json",
    '{ "listeners": ["127.0.0.1:1"], "routes": [{ "via": "reject" }] }',
  );
  const read = async (listeners: string[], hops: string[]) =>
    (await configFromFlags({ listeners, hops, file })).routes?.map(({ number, listeners, via }) => [
      number,
      listeners,
      via === "reject" ? via : via.name,
    ]);
  assertEquals(await read(["127.0.0.1:0", "127.0.0.1:0"], ["http://h"]), [[undefined, [1, 2], "cli"], [
    1,
    undefined,
    "reject",
  ]]);
  assertEquals(await read(["127.0.0.1:0"], []), [[1, undefined, "reject"]]);
  assertEquals(await read([], ["http://h"]), [[1, undefined, "reject"]]);
});
