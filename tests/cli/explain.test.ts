/**
 * `hopline explain`: which way a target takes and why, without a connection.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { fromUtf8 } from "../support/bytes.ts";
import { configured, hoplineCommand, root } from "../support/hopline.ts";
import { nameServer } from "../support/name_server.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { eventually, start } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { socks5 } from "../server/clients.ts";
import { serving } from "../server/serving.ts";
import { scripted, Wire } from "../server/wire.ts";
import { endpoint } from "./program.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

async function explain(target: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hoplineCommand(["explain", target, ...args]);
  assertEquals([code, stderr], [0, ""]);
  const text = String(stdout);
  assert(!text.includes("s3cret"), text);
  return text;
}

const explained = async (target: string, ...args: string[]) =>
  JSON.parse(await explain(target, "--json", ...args));

const configuration = {
  listeners: [
    "127.0.0.1:1080",
    { address: "0.0.0.0:8080", users: [{ username: "alice", password: "s3cret" }] },
  ],
  hops: {
    office: "http://bob:s3cret@proxy.corp.example:8080",
    exit: "socks5+tls://relay.example.net?insecure=true",
    spare: {
      protocol: "h2",
      address: "192.0.2.7",
      tls: { serverName: "spare.example", pins: [`sha256/${"A".repeat(43)}=`] },
    },
  },
  chains: {
    out: ["office", { failover: ["exit", "spare"] }],
    home: ["office", "socks5://[2001:db8::1]?resolve=local"],
  },
  routes: [
    { to: ["*.corp.example", "10.0.0.0/8:22-23", "[2001:db8::]:80", "*:8443"], via: "direct" },
    { to: ["*:25"], via: "reject" },
    {
      users: ["alice"],
      listeners: ["0.0.0.0:8080"],
      protocols: ["http"],
      from: ["198.51.100.0/24"],
      via: "home",
    },
    { to: ["*.example"], via: "out" },
  ],
  access: { deny: ["secret.example"] },
};
const file = () => configured(directory, configuration);
const alice = [
  "--user",
  "alice",
  "--listener",
  "0.0.0.0:8080",
  "--protocol",
  "http",
  "--from",
  "198.51.100.9",
];

test("the route that wins, the others with what they lack, the way, the names and the access rules are told", async () => {
  const text = await explain("www.example:443", ...file());
  const lines = [
    "www.example:443 by office, failover(exit, spare) (route 4)",
    "    1  to *.corp.example, 10.0.0.0/8:22-23, [2001:db8::]:80 and 1 more: does not match (the name is not among them, and its addresses are not looked up here)",
    "    2  to *:25: does not match (the target is not among them)",
    "    3  from 198.51.100.0/24; users alice; listeners 0.0.0.0:8080; protocols http: does not match (no listener is given (--listener))",
    "  → 4  to *.example: taken (*.example)",
    "  1  office  http://proxy.corp.example:8080",
    "  2  failover of",
    "       1  exit  socks5+tls://relay.example.net:443 (NOT verified)",
    "       1  spare  h2://192.0.2.7:443 (verified for spare.example, 1 pinned key)",
    "  proxy.corp.example is looked up here",
    "  relay.example.net is looked up by the hop office",
    "  www.example is looked up by the hop exit",
    "  www.example is looked up by the hop spare",
    "  clients of 127.0.0.1:1080 may reach it",
  ];
  for (const line of lines) assertStringIncludes(text, `${line}\n`);
});

test("whoever is named has the routes of his own", async () => {
  const { route, via, names, routes } = await explained("www.example:443", ...file(), ...alice);
  assertEquals([route, via], [3, ["office", "socks5://[2001:db8::1]:1080"]]);
  assertEquals(names, [{ name: "proxy.corp.example", by: "here" }, { name: "www.example", by: "here" }]);
  assertEquals(routes.map(({ outcome }: { outcome: string }) => outcome), [
    "does not match",
    "does not match",
    "taken",
    "matches too",
  ]);
  const other = await explained("www.example:443", ...file(), ...alice, "--user", "bob").catch((error) =>
    error
  );
  assertMatch(String(other), /--user is given 2 times/);
});

const verdicts: [target: string, verdict: string, route: number | undefined, because?: string][] = [
  ["git.corp.example:22", "routed", 1, "*.corp.example"],
  ["10.9.9.9:23", "routed", 1, "10.0.0.0/8:22-23"],
  ["[2001:db8::]:80", "routed", 1, "[2001:db8::]:80"],
  ["anything.test:8443", "routed", 1, "*:8443"],
  ["mail.example:25", "rejected", 2, "*:25"],
  ["10.9.9.9:24", "unrouted", undefined],
];

for (const [target, verdict, route, because] of verdicts) {
  test(`${target} is ${verdict}`, async () => {
    const result = await explained(target, ...file());
    assertEquals([result.verdict, result.route, result.target], [verdict, route, target]);
    const taken = result.routes.find(({ outcome }: { outcome: string }) => outcome === "taken");
    assertEquals(taken?.because, because);
    assertEquals(result.way === undefined, verdict !== "routed");
  });
}

test("an address that access rules keep clients from is told, listener by listener", async () => {
  const { access } = await explained("10.9.9.9:23", ...file());
  assertEquals(access, [
    "clients of 127.0.0.1:1080 may reach it",
    "clients of 0.0.0.0:8080 are refused: 10.9.9.9 is a private address (access.private)",
  ]);
  const denied = await explained("secret.example:443", ...file());
  assertMatch(denied.access.join("\n"), /are refused: secret\.example is listed in access\.deny/);
});

test("a group that may go directly keeps clients from what a direct route would", async () => {
  const config = {
    listeners: [{ address: "0.0.0.0:8080", open: true }],
    chains: { out: [{ failover: ["http://proxy.example", "direct"] }] },
  };
  const { access } = await explained("10.9.9.9:23", ...configured(directory, config));
  assertEquals(access, [
    "clients of 0.0.0.0:8080 are refused: 10.9.9.9 is a private address (access.private)",
  ]);
});

test("nothing is connected, and no name is looked up that no route needs", async () => {
  await using hop = await scripted();
  await using names = await nameServer({ "www.example A": { data: ["192.0.2.1"] } });
  const config = {
    chains: { out: [`socks5://${hop.address}`] },
    routes: [{ to: ["10.0.0.0/8"], via: "reject" }, { via: "out" }],
    names: { servers: [`127.0.0.1:${names.port}`] },
  };
  const { route, lookedUp } = await explained("www.example:443", ...configured(directory, config));
  assertEquals([route, lookedUp, hop.accepted.length, names.asked], [2, undefined, 0, []]);
});

test("where a route needs the addresses of a name they are looked up, and that is told", async () => {
  await using names = await nameServer({
    "www.example A": { data: ["10.1.2.3"] },
    "gone.example A": { rcode: "NXDOMAIN" },
  });
  const config = {
    routes: [{ to: ["10.0.0.0/8"], via: "reject" }, { via: "direct" }],
    names: { servers: [`127.0.0.1:${names.port}`] },
  };
  const known = configured(directory, config);
  const result = await explained("www.example:443", ...known);
  assertEquals([result.verdict, result.route, result.lookedUp], ["rejected", 1, {
    name: "www.example",
    addresses: ["10.1.2.3"],
  }]);
  assertStringIncludes(
    await explain("www.example:443", ...known),
    "www.example was looked up for the addresses in routes: 10.1.2.3\n",
  );
  assertMatch(await explain("gone.example:443", ...known), /name not found: gone\.example/);
});

test("a name without an address is not said to be rejected", async () => {
  const routes = [{ to: ["10.0.0.0/8"], via: "reject" }, { via: "direct" }];
  const file = configured(directory, { routes });
  const text = await explain("nobody.invalid:80", ...file);
  assertMatch(text, /^nobody\.invalid:80 is not reached: name not found: nobody\.invalid\n/);
  assertMatch(text, /^ {4}2 {2}everything: matches$/m);
  const { verdict, error, access } = await explained("nobody.invalid:80", ...file);
  assertEquals([verdict, error, access], ["unresolved", "name not found: nobody.invalid", []]);
});

test("without a configuration the target is reached directly, with -F by that chain", async () => {
  assertMatch(await explain("www.example:443"), /^www\.example:443 directly\n\nway\n {2}directly\n/);
  const text = await explain("www.example:443", "-F", "http://al:s3cret@h:1", ...file());
  assertMatch(text, /^www\.example:443 by http:\/\/h:1\n\nway\n {2}1 {2}http:\/\/h:1\n/);
});

test("of a hundred thousand routes those around the one that wins are shown", async () => {
  const routes = Array.from({ length: 5_000 }, (_, n) => ({ to: [`n${n}.test`], via: "direct" }));
  const text = await explain("n4000.test:80", ...configured(directory, { routes }));
  assertMatch(text, /^ {4}… 3990 more$/m);
  assertMatch(text, /^ {2}→ 4001 {2}to n4000\.test: taken/m);
  assertMatch(text, /^ {4}… 989 more$/m);
});

test("the permissions that it tells are enough to serve, and no more than the configuration names", async () => {
  await using hop = await serving();
  const secret = directory.write("alice.secret", "s3cret\n");
  const config = configured(directory, {
    listeners: [{ address: "127.0.0.1:0", users: [{ username: "${WHO}", password: { file: secret } }] }],
    chains: { out: [`socks5://127.0.0.1:${hop.at.port}`] },
  });
  const env = { WHO: "alice" };
  const { code, stdout } = await hoplineCommand(["explain", echo.address, "--json", ...config], { env });
  assertEquals(code, 0);
  const { permissions } = JSON.parse(String(stdout));
  assertEquals(permissions, [
    `--allow-net=127.0.0.1,127.0.0.1:${hop.at.port}`,
    `--allow-read=${config[1]},${secret}`,
    "--allow-env=WHO",
  ]);
  const before = "Bun" in globalThis ? [] : ["run", "--no-prompt", ...permissions];
  await using proxy = start(process.execPath, [...before, join(root, "mod.ts"), ...config], { env });
  const address = await eventually(
    () => proxy.output(),
    () => /listener=(\S+)/.exec(proxy.output())?.[1],
  );
  using wire = await Wire.to(endpoint(address));
  wire.send(socks5.ask(echo, { username: "alice", password: "s3cret" }), "through");
  assertEquals(await socks5.answer(wire), 0);
  assertEquals(fromUtf8(await wire.read(7)), "through");
});

test("a path with a comma in it can't be listed", async () => {
  const secret = directory.write("a,b.secret", "s3cret\n");
  const users = [{ username: "alice", password: { file: secret } }];
  const config = configured(directory, { listeners: [{ address: "127.0.0.1:0", users }] });
  assertEquals((await explained("www.example:443", ...config)).permissions, ["--allow-net", "--allow-read"]);
});

test("a configuration that reaches a name or a target directly needs the whole network", async () => {
  for (const config of [{}, { chains: { out: ["socks5://relay.example"] } }]) {
    const { permissions } = await explained("www.example:443", ...configured(directory, config));
    assertEquals(permissions[0], "--allow-net");
  }
});

test("a route with a target leads there: its names are looked up, and what was asked for is not", async () => {
  const target = { roundRobin: ["192.0.2.1:80", "app.internal:8080"] };
  const file = directory.write(
    "targets.json",
    JSON.stringify({
      listeners: ["0.0.0.0:1080?open=true"],
      routes: [{ to: ["app.example"], target }, {
        to: ["127.0.0.1"],
        target: "10.0.0.1:80",
        via: ["socks5://192.0.2.9"],
      }],
    }),
  );
  const led = await explained("app.example:80", "-c", file);
  assertEquals([led.verdict, led.route, led.leadsTo, led.via, led.names, led.access], [
    "routed",
    1,
    "roundRobin(192.0.2.1:80, app.internal:8080)",
    [],
    [{ name: "app.internal", by: "here" }],
    ["clients of 0.0.0.0:1080 may reach it"],
  ]);
  const [first] = (await explain("127.0.0.1:80", "-c", file)).split("\n");
  assertEquals(first, "127.0.0.1:80 is led to 10.0.0.1:80, by socks5://192.0.2.9:1080 (route 2)");
});
