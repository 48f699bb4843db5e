/**
 * Chains in a program: every kind of hop, in any order, and errors that count the hops.
 *
 * @module
 */
import { assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import {
  AddressError,
  chain,
  type Dialer,
  direct,
  type Endpoint,
  type Hop,
  http,
  ProxyError,
  socks4,
  socks5,
  tls,
} from "@hopline/hopline";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { authority, pin } from "../support/certificates.ts";
import { failureOf, rejectionOf } from "../support/errors.ts";
import { echoOrigin, type Origin, webOrigin } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { readExactly, writeText } from "../support/traffic.ts";
import { type Serving, serving } from "../server/serving.ts";
import { scripted } from "../server/wire.ts";

const alice = { username: "alice", password: "secret" };

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
/** Three servers: a hop that leads back to its own server would be a loop. */
let plain: Serving;
let guarded: Serving;
let secure: Serving;
let ca: string;
let pinned: string;
before(async () => {
  const issuer = await authority(directory, "library");
  const certificate = await issuer.issue("localhost", "127.0.0.1");
  ca = readFileSync(issuer.file, "utf8");
  pinned = await pin(certificate);
  const address = "127.0.0.1:0";
  const inTls = { certificate: certificate.cert, key: certificate.key, required: true };
  echo = stack.use(await echoOrigin());
  plain = stack.use(await serving());
  guarded = stack.use(await serving({ listeners: [{ address, users: [alice] }] }));
  secure = stack.use(await serving({ listeners: [{ address, tls: inTls }] }));
});
after(() => stack.disposeAsync());

async function echoes(dialer: Dialer, target: Endpoint = echo): Promise<void> {
  const conn = await dialer.dial(target);
  await writeText(conn, "hello");
  assertEquals(await readExactly(conn, 5), "hello");
  conn.close();
}

const chains: [name: string, hops: () => Hop[]][] = [
  ["nothing", () => []],
  ["http", () => [http(plain.at)]],
  ["socks5 by its address as text", () => [socks5(`127.0.0.1:${plain.at.port}`)]],
  ["socks4", () => [socks4(plain.at)]],
  ["http with a user", () => [http(guarded.at, alice)]],
  ["socks5 with a user", () => [socks5(guarded.at, alice)]],
  ["tls, socks5", () => [tls({ ca }), socks5(secure.at)]],
  ["tls by a pin alone, http", () => [tls({ insecure: true, pins: [pinned.slice(7)] }), http(secure.at)]],
  ["tls by another name, http", () => [tls({ ca, serverName: "localhost" }), http(secure.at)]],
  ["http, tls, socks5", () => [http(plain.at), tls({ ca }), socks5(secure.at)]],
  ["socks5 with a user, http, tls, socks4", () => [
    socks5(guarded.at, alice),
    http(plain.at),
    tls({ ca }),
    socks4(secure.at),
  ]],
];

for (const [name, hops] of chains) {
  test(`a chain of ${name}`, async () => {
    await echoes(chain(hops()));
  });
}

test("a chain of tls alone speaks TLS to the target", async () => {
  await using web = await webOrigin({
    tls: { cert: directory.join("library-1.pem"), key: directory.join("library-1.key") },
  });
  const conn = await chain([http(plain.at), tls({ ca })]).dial(web);
  await writeText(conn, "GET /nothing HTTP/1.0\r\n\r\n");
  assertMatch(await readExactly(conn, 12), /^HTTP\/1\.[01] 404$/);
  conn.close();
});

test("names travel to the last hop unresolved, or resolved here if it is told so", async () => {
  const target = { hostname: "localhost", port: echo.port };
  await using own = await serving();
  const rows: [Hop, RegExp][] = [
    [http(own.at), /^localhost:/],
    [socks5(own.at), /^localhost:/],
    [socks4(own.at), /^localhost:/],
    [http(own.at, { resolve: "local" }), /^(127\.0\.0\.1|\[::1\]):/],
    [socks5(own.at, { resolve: "local" }), /^(127\.0\.0\.1|\[::1\]):/],
    [socks4(own.at, { resolve: "local" }), /^127\.0\.0\.1:/],
  ];
  for (const [index, [hop, told]] of rows.entries()) {
    await echoes(chain([hop]), target);
    const { fields } = await own.logged("tunnel.closed", index + 1);
    assertMatch(String(fields.target), told, hop.label);
  }
});

test("labels name the hop without its credentials", () => {
  const labels = [
    http("proxy.corp.example", alice),
    socks5("relay.example.net", alice),
    socks4("10.0.0.1"),
    socks4("10.0.0.1:99", { resolve: "local", username: "joe" }),
    socks5("[2001:db8::1]:1081"),
    tls({ serverName: "x" }),
  ].map(({ label }) => label);
  assertEquals(labels, [
    "http://proxy.corp.example:80",
    "socks5://relay.example.net:1080",
    "socks4a://10.0.0.1:1080",
    "socks4://10.0.0.1:99",
    "socks5://[2001:db8::1]:1081",
    "tls",
  ]);
});

test("an address that can't be parsed is an AddressError at once", () => {
  for (const make of [http, socks5, socks4]) {
    for (const address of ["", "a b", "host:99999", "host:0", "::1", "user@host:80", "http://host"]) {
      assertThrows(() => make(address), AddressError);
    }
  }
});

const failures: [
  what: string,
  hops: () => Promise<Hop[]> | Hop[],
  expected: { hop: number; label: RegExp; code: string; stage: string },
][] = [
  ["nothing to pass", () => [], { hop: 0, label: /^direct$/, code: "refused", stage: "connect" }],
  [
    "a first hop that is not there",
    async () => [http(`127.0.0.1:${await freePort()}`), socks5(plain.at)],
    { hop: 1, label: /^http:/, code: "refused", stage: "connect" },
  ],
  [
    "a second hop that is not there: the first one says so",
    async () => [http(plain.at), socks5(`127.0.0.1:${await freePort()}`)],
    { hop: 1, label: /^http:/, code: "refused", stage: "request" },
  ],
  [
    "a target that is not there: the last hop says so",
    () => [http(plain.at), socks5(guarded.at, alice)],
    { hop: 2, label: /^socks5:/, code: "refused", stage: "request" },
  ],
  [
    "a wrong password at the second hop",
    () => [socks4(plain.at), socks5(guarded.at, { ...alice, password: "wrong" }), http(secure.at)],
    { hop: 2, label: /^socks5:/, code: "auth", stage: "auth" },
  ],
  [
    "a certificate that is not trusted, in front of the third hop",
    () => [http(plain.at), tls(), socks5(secure.at)],
    { hop: 2, label: /^tls$/, code: "tls", stage: "tls" },
  ],
  [
    "a third hop that does not speak its protocol",
    () => [http(plain.at), tls({ ca }), socks5(secure.at), tls({ ca }), http(guarded.at)],
    { hop: 4, label: /^tls$/, code: "tls", stage: "tls" },
  ],
];

for (const [what, hops, expected] of failures) {
  test(`an error counts hops from 1: ${what}`, async () => {
    const target = { hostname: "127.0.0.1", port: await freePort() };
    const { hop, label, code, stage, message } = await failureOf(chain(await hops()).dial(target));
    assertEquals({ hop, code, stage }, { hop: expected.hop, code: expected.code, stage: expected.stage });
    assertMatch(String(label), expected.label);
    assertEquals(/secret|wrong$/.test(message), false);
  });
}

test("a hop's timeout is its own, and an abort is the caller's", async () => {
  await using silent = await scripted();
  const late = await failureOf(chain([http(plain.at), socks5(silent, { timeout: 200 })]).dial(echo));
  assertEquals([late.code, late.hop], ["timeout", 2]);
  const controller = new AbortController();
  const dial = rejectionOf(chain([socks5(silent)]).dial(echo, { signal: controller.signal }));
  const reason = new Error("enough");
  controller.abort(reason);
  const error = await dial;
  assertEquals(
    error === reason || (error instanceof ProxyError && error.cause === reason),
    true,
    String(error),
  );
  for (const wire of silent.accepted) await wire.ending();
});

test("a chain goes on from any dialer", async () => {
  const seen: Endpoint[] = [];
  const from: Dialer = {
    dial(target, ctx) {
      seen.push(target);
      return direct().dial(target, ctx);
    },
  };
  await echoes(chain([http(plain.at)], from));
  assertEquals(seen, [plain.at]);
});

test("an error is an Error, with the facts of the failure", async () => {
  const error = await failureOf(direct().dial({ hostname: "name.invalid", port: 80 }));
  assertInstanceOf(error, Error);
  assertInstanceOf(error, ProxyError);
  const { code, side, stage, hop, label } = error;
  assertEquals([code, side, stage, hop, label], ["resolve", "upstream", "resolve", 0, "direct"]);
});
