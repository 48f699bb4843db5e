/**
 * Names are looked up as the configuration says: what it knows itself, then its servers, in order, by any transport.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { after, before, test } from "node:test";
import { validateConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { background } from "../../src/core/handshake.ts";
import type { Network } from "../../src/core/direct.ts";
import { namedNetwork } from "../../src/names/resolver.ts";
import { currentRuntime } from "../../src/runtime/runtime.ts";
import { authority, type Certificate } from "../support/certificates.ts";
import { nameServer, type TestNameServer, type Zone } from "../support/name_server.ts";
import { listen } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { serving } from "../server/serving.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let certificate: Certificate;
let ca: string;
before(async () => {
  const own = await authority(directory, "names-ca");
  certificate = await own.issue("127.0.0.1", "dns.test");
  ca = own.file;
});
after(() => stack.disposeAsync());

const zone: Zone = {
  "a.test A": { data: ["192.0.2.1", "192.0.2.2"] },
  "a.test AAAA": { data: ["2001:db8::1"] },
  "four.test A": { data: ["192.0.2.4"] },
  "none.test A": { rcode: "NXDOMAIN" },
  "none.test AAAA": { rcode: "NXDOMAIN" },
  "big.test A": { data: ["192.0.2.9"], truncated: true },
  "sick.test A": { rcode: "SERVFAIL" },
  "astray.test A": { data: ["192.0.2.66"], astray: true },
  "mute.test A": { silent: true },
};

async function network(names: ConfigInput["names"], more: ConfigInput = {}): Promise<Network> {
  return namedNetwork(await validateConfig({ ...more, names }), await currentRuntime());
}

const look = (network: Network, name: string, family: 4 | 6 = 4, signal = background.signal) =>
  network.resolve(name, family, { signal });

const trusting = () => `ca=${encodeURIComponent(ca)}`;
const kinds: Record<string, { kind: "plain" | "tls" | "https"; url: (port: number) => string; via: string }> =
  {
    udp: { kind: "plain", url: (port) => `127.0.0.1:${port}`, via: "udp" },
    tcp: { kind: "plain", url: (port) => `tcp://127.0.0.1:${port}`, via: "tcp" },
    tls: { kind: "tls", url: (port) => `tls://127.0.0.1:${port}?${trusting()}`, via: "tls" },
    https: {
      kind: "https",
      url: (port) => `https://127.0.0.1:${port}/ask?sni=dns.test&${trusting()}`,
      via: "https /ask",
    },
  };

for (const [scheme, { kind, url, via }] of Object.entries(kinds)) {
  test(`a server is asked by ${scheme}, once for what it said will hold`, async () => {
    await using server = await nameServer(zone, kind, certificate);
    const names = await network({ servers: [url(server.port)] });
    assertEquals(await look(names, "a.test"), ["192.0.2.1", "192.0.2.2"]);
    assertEquals(await look(names, "A.Test."), ["192.0.2.1", "192.0.2.2"]);
    assertEquals(await look(names, "a.test", 6), ["2001:db8::1"]);
    assertEquals(await look(names, "four.test", 6), []);
    assertEquals(server.asked, [`${via} a.test A`, `${via} a.test AAAA`, `${via} four.test AAAA`]);
    if (scheme !== "udp") assertEquals(server.connections(), 1);
  });

  test(`by ${scheme}, a name that is not known and a server that can't say are told apart`, async () => {
    await using server = await nameServer(zone, kind, certificate);
    const names = await network({ servers: [url(server.port)] });
    const unknown = await assertRejects(() => look(names, "none.test"), ProxyError);
    assertEquals([unknown.message, unknown.code, unknown.stage], [
      "name not found: none.test",
      "resolve",
      "resolve",
    ]);
    const sick = await assertRejects(() => look(names, "sick.test"), ProxyError);
    assertMatch(
      sick.message,
      new RegExp(`^the name server ${scheme}://127\\.0\\.0\\.1:.*: it says SERVFAIL$`),
    );
    // Anybody could have sent such a datagram, so it is not heard.
    const astray = await assertRejects(() => look(names, "astray.test"), ProxyError);
    assertMatch(astray.message, scheme === "udp" ? /timed out after 3 s$/ : /it answers another question$/);
  });

  test(`by ${scheme}, many who ask at once share a question, and one who leaves takes nobody along`, async () => {
    await using server = await nameServer(zone, kind, certificate);
    const names = await network({ servers: [url(server.port)] });
    const leaving = new AbortController();
    const gone = look(names, "a.test", 4, leaving.signal);
    const others = Array.from({ length: 20 }, () => look(names, "a.test"));
    leaving.abort(new Error("left"));
    await assertRejects(() => gone, Error, "left");
    for (const addresses of await Promise.all(others)) assertEquals(addresses.length, 2);
    assertEquals(server.asked, [`${via} a.test A`]);
  });
}

test("many names at once are asked for over one connection", async () => {
  const many = Object.fromEntries(
    Array.from({ length: 50 }, (_, n) => [`n${n}.test A`, { data: [`192.0.2.${n}`] }]),
  );
  await using server = await nameServer(many, "tls", certificate);
  const names = await network({ servers: [kinds.tls.url(server.port)] });
  const found = await Promise.all(Array.from({ length: 50 }, (_, n) => look(names, `n${n}.test`)));
  assertEquals(found.map(([address]) => address), Array.from({ length: 50 }, (_, n) => `192.0.2.${n}`));
  assertEquals(server.connections(), 1);
});

test("an answer that does not fit into a datagram is asked for again over TCP", async () => {
  await using server = await nameServer(zone);
  const names = await network({ servers: [`udp://127.0.0.1:${server.port}`] });
  assertEquals(await look(names, "big.test"), ["192.0.2.9"]);
  assertEquals(server.asked, ["udp big.test A", "tcp big.test A"]);
});

test("a name that no question can hold is not asked for", async () => {
  await using server = await nameServer(zone);
  const names = await network({ servers: [`127.0.0.1:${server.port}`] });
  for (const name of [`${"a".repeat(64)}.test`, `${"a".repeat(192)}.test`, `${"a.".repeat(127)}a`]) {
    const { message } = await assertRejects(() => look(names, name), ProxyError);
    assertEquals(message, `name not found: ${name}`);
  }
  assertEquals(await look(names, `${"a".repeat(63)}.test`), []);
  assertEquals(server.asked, [`udp ${"a".repeat(63)}.test A`]);
});

test("a question that nobody waits for any more is not asked, and nothing is left behind", async () => {
  await using server = await nameServer(zone);
  const { exchange } = await currentRuntime();
  const reason = new Error("left");
  const asked = exchange(
    { hostname: "127.0.0.1", port: server.port },
    new Uint8Array(20),
    () => true,
    { signal: AbortSignal.abort(reason) },
  );
  await assertRejects(() => asked, Error, "left");
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals(server.asked, []);
});

test("the next server is asked when one is not there, is silent or can't say", async () => {
  await using sick = await nameServer(zone);
  await using well = await nameServer({
    "sick.test A": { data: ["192.0.2.7"] },
    "mute.test A": { data: ["192.0.2.8"] },
  });
  const dead = `tcp://127.0.0.1:${await freePort()}`;
  const names = await network({ servers: [dead, `127.0.0.1:${sick.port}`, `127.0.0.1:${well.port}`] });
  assertEquals(await look(names, "sick.test"), ["192.0.2.7"]);
  assertEquals(await look(names, "mute.test"), ["192.0.2.8"]);
  assertEquals(sick.asked, ["udp sick.test A", "udp mute.test A"]);
});

test("an answer by HTTPS that is longer than any message is refused, whatever the version", async () => {
  const pems = { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key) };
  const answers = (_: unknown, response: { end(body: Uint8Array): void }) =>
    response.end(new Uint8Array(70_000));
  for (const server of [createHttpsServer(pems, answers), createSecureServer(pems, answers)]) {
    await using origin = await listen(server);
    const names = await network({ servers: [`https://127.0.0.1:${origin.port}/?${trusting()}`] });
    const error = await assertRejects(() => look(names, "a.test"), ProxyError);
    assertMatch(error.message, /: its answer is longer than 65536 bytes$/);
  }
});

test("a server's certificate is verified, and the reason is told", async () => {
  await using server = await nameServer(zone, "tls", certificate);
  const names = await network({ servers: [`tls://127.0.0.1:${server.port}`] });
  const error = await assertRejects(() => look(names, "a.test"), ProxyError);
  assertMatch(error.message, /^the name server tls:.*issuer is not trusted/);
  assertEquals(server.asked, []);
});

test("what the configuration knows itself needs no server; the longest wildcard counts", async () => {
  await using server = await nameServer(zone);
  const hostsFile = directory.write(
    "hosts",
    "# a comment\n127.0.0.9 file.test alias.test\n::9 file.test\nfe80::1%lo0 zone\n",
  );
  const names = await network({
    hosts: {
      "Own.Test": "10.0.0.1",
      "*.wild.test": ["10.0.0.2", "2001:db8::2"],
      "*.more.wild.test": "10.0.0.3",
    },
    hostsFile,
    servers: [`127.0.0.1:${server.port}`],
  });
  const found = async (name: string) => [...await look(names, name), ...await look(names, name, 6)];
  assertEquals(await found("own.test."), ["10.0.0.1"]);
  assertEquals(await found("x.y.wild.test"), ["10.0.0.2", "2001:db8::2"]);
  assertEquals(await found("x.more.wild.test"), ["10.0.0.3"]);
  assertEquals(await found("FILE.test"), ["127.0.0.9", "::9"]);
  assertEquals(await found("alias.test"), ["127.0.0.9"]);
  assertEquals(await found("localhost"), ["127.0.0.1", "::1"]);
  assertEquals(server.asked, []);
  await assertRejects(() => look(names, "none.test"), ProxyError);
});

test("without servers the system is asked for what the configuration does not know", async () => {
  const names = await network({ hosts: { "own.test": "10.0.0.1" } });
  assertEquals(await look(names, "own.test"), ["10.0.0.1"]);
  assertEquals(await look(names, "localhost"), ["127.0.0.1"]);
});

test("servers may be asked through a chain", async () => {
  await using server: TestNameServer = await nameServer(zone);
  await using hop = await serving();
  const names = await network(
    { servers: [`tcp://127.0.0.1:${server.port}`], via: "out" },
    { chains: { out: [`socks5://127.0.0.1:${hop.at.port}`] } },
  );
  assertEquals(await look(names, "a.test"), ["192.0.2.1", "192.0.2.2"]);
  assertEquals(server.asked, ["tcp a.test A"]);
  const dead = await network({
    servers: [`tcp://127.0.0.1:${server.port}`],
    via: [`http://127.0.0.1:${await freePort()}`],
  });
  const error = await assertRejects(() => look(dead, "a.test"), ProxyError);
  assertMatch(error.message, /^the name server tcp:.*connection refused/);
});
