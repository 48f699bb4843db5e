/**
 * Sites behind a reverse proxy that are groups of servers: which server each request comes to.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { after, before, test } from "node:test";
import type { ConfigInput } from "../../mod.ts";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { fromUtf8, toHex } from "../support/bytes.ts";
import { clientHello, serverName } from "../support/client_hello.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { scripted, Wire } from "../server/wire.ts";
import { type Proxy, proxy } from "./proxying.ts";
import { ok, type Origin, origin, server, type Talk } from "./talk.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let issuer: Authority;
let ca: string;
let certificate: Certificate;
before(async () => {
  issuer = await authority(directory, "sites");
  ca = readFileSync(issuer.file, "utf8");
  certificate = await issuer.issue("app.test", "shop.test");
});
after(() => stack.disposeAsync());

type Routes = NonNullable<ConfigInput["routes"]>;
type TargetInput = NonNullable<Routes[number]["target"]>;

const listener = { address: "127.0.0.1:0", reverse: true };
const site = (name: string, target: TargetInput): Routes[number] => ({ to: [name], target });
const sites = (...routes: Routes): Promise<Proxy> => proxy({ listeners: [listener], routes });
const servers = (...names: string[]): Promise<Origin[]> =>
  Promise.all(names.map(async (name) => stack.use(await origin(() => ok(name)))));

async function get(client: Talk, host: string): Promise<string> {
  client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  return (await client.message()).text;
}

/** What a client of its own for each request is answered. */
async function each(house: Proxy, host: string, times: number): Promise<string[]> {
  const answers: string[] = [];
  for (let i = 0; i < times; i++) {
    using client = await house.client();
    answers.push(await get(client, host));
  }
  return answers;
}

test("clients are spread over the servers of a site; Host is the site's, whatever port it names", async () => {
  const [one, two] = await servers("one", "two");
  await using house = await sites(site("app.test", { roundRobin: [one.at, two.at] }));
  assertEquals(await each(house, "app.test", 4), ["one", "two", "one", "two"]);
  assertEquals(await each(house, "APP.test:8081", 2), ["one", "two"]);
  assertEquals([...one.requests, ...two.requests].map(({ field }) => field("host")), [
    ...["app.test", "app.test", "APP.test:8081"],
    ...["app.test", "app.test", "APP.test:8081"],
  ]);
  const { target, server, status, protocol } = await house.logged("tunnel.closed");
  assertEquals({ target, server, status, protocol }, {
    target: "app.test:80",
    server: one.at,
    status: 200,
    protocol: "http",
  });
});

test("a client's connection keeps to its server, and to one for each site", async () => {
  const [one, two, shop] = await servers("one", "two", "shop");
  await using house = await sites(
    site("app.test", { roundRobin: [one.at, two.at] }),
    site("shop.test", shop.at),
  );
  using client = await house.client();
  const answers: string[] = [];
  for (const host of ["app.test", "app.test", "shop.test", "app.test", "shop.test"]) {
    answers.push(await get(client, host));
  }
  assertEquals(answers, ["one", "one", "shop", "one", "shop"]);
  assertEquals([one, two, shop].map(({ talks }) => talks.length), [1, 0, 1]);
  const logged = await Promise.all([1, 2, 3, 4, 5].map((n) => house.logged("tunnel.closed", n)));
  assertEquals(logged.map(({ server }) => server), [one.at, one.at, shop.at, one.at, shop.at]);
});

test("a server that goes away between two requests is replaced by another", async () => {
  const one = await origin(() => ok("one"));
  const [two] = await servers("two");
  await using house = await sites(site("app.test", { failover: [one.at, two.at] }));
  using client = await house.client();
  assertEquals(await get(client, "app.test"), "one");
  await one[Symbol.asyncDispose]();
  assertEquals(await get(client, "app.test"), "two");
  const { member } = await house.logged("member.down");
  assertEquals(member, one.at);
});

test("a server that closes a connection as it is used again is asked anew, or another one", async () => {
  await using one = await server(async (talk) => {
    await talk.message();
    talk.send(ok("one"));
    await talk.message();
    talk.socket.destroy();
  });
  const [two] = await servers("two");
  await using house = await sites(site("app.test", { roundRobin: [one.at, two.at] }));
  using client = await house.client();
  assertEquals([await get(client, "app.test"), await get(client, "app.test")], ["one", "two"]);
});

test("with none left the site is unavailable, and the connection goes on", async () => {
  const gone = [await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
  const [shop] = await servers("shop");
  await using house = await sites(site("app.test", { leastTunnels: gone }), site("shop.test", shop.at));
  using client = await house.client();
  client.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
  assertMatch((await client.message()).first, /^HTTP\/1\.1 502 /);
  assertEquals(await get(client, "shop.test"), "shop");
});

test("requests at a time go to the servers that have the fewest", async () => {
  const held: (() => void)[] = [];
  const waiting = async (name: string) =>
    stack.use(
      await origin(async () => {
        await new Promise<void>((resolve) => held.push(resolve));
        return ok(name);
      }),
    );
  const [one, two] = [await waiting("one"), await waiting("two")];
  await using house = await sites(site("app.test", { leastTunnels: [one.at, two.at] }));
  const session = http2.connect(`http://127.0.0.1:${house.at.port}`);
  try {
    const fetch = () =>
      new Promise<string>((resolve, reject) => {
        const stream = session.request({ ":authority": "app.test", ":path": "/" });
        let text = "";
        stream.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
        stream.on("end", () => resolve(text)).on("error", reject).end();
      });
    const all = Promise.all([fetch(), fetch(), fetch(), fetch()]);
    while (held.length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
    assertEquals([one.requests.length, two.requests.length], [2, 2]);
    for (const release of held) release();
    assertEquals((await all).sort(), ["one", "one", "two", "two"]);
  } finally {
    session.destroy();
  }
});

test("WebSocket goes through to a server of the group", async () => {
  await using web = await server(async (talk) => {
    assertEquals((await talk.message()).field("host"), "app.test");
    talk.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    talk.send(await talk.read(4));
  });
  const gone = `127.0.0.1:${await freePort()}`;
  await using house = await sites(site("app.test", { failover: [gone, web.at] }));
  using client = await house.client();
  client.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  assertMatch((await client.message()).first, / 101 /);
  client.send("ping");
  assertEquals(fromUtf8(await client.read(4)), "ping");
});

test("a route with a target serves every site that comes to it", async () => {
  const [one, rest] = await servers("one", "rest");
  await using house = await sites(site("app.test", one.at), { target: rest.at });
  assertEquals(await each(house, "app.test", 1), ["one"]);
  assertEquals(await each(house, "169.254.169.254", 1), ["rest"]);
});

test("a target may be reached by hops, which carry it as a tunnel", async () => {
  const [one] = await servers("one");
  await using hop = await proxy();
  const via = [`http://127.0.0.1:${hop.at.port}?forward=absolute`];
  await using house = await sites({ to: ["app.test"], target: one.at, via });
  assertEquals(await each(house, "app.test", 1), ["one"]);
  const { target, method } = await hop.logged("tunnel.closed");
  assertEquals([target, method], [one.at, undefined]);
});

test("plain requests of a proxy's client are led as well, with the site as Host", async () => {
  const [one, two] = await servers("one", "two");
  await using house = await proxy({
    routes: [site("app.test", { roundRobin: [one.at, two.at] }), { via: "direct" }],
  });
  const answers: string[] = [];
  for (let i = 0; i < 2; i++) {
    using client = await house.client();
    client.send("GET http://app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n");
    answers.push((await client.message()).text);
  }
  assertEquals(answers, ["one", "two"]);
  assertEquals(one.requests[0].field("host"), "app.test");
});

// --- inside TLS, and beside it --------------------------------------------------------------------------------------

const pem = () => ({ certificate: certificate.cert, key: certificate.key });

/** One request inside TLS: the answer whole. */
async function getInTls({ at }: Proxy, name: string, host = name): Promise<string> {
  using wire = await Wire.tls(at, { ca, servername: name });
  wire.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  return fromUtf8(await wire.rest());
}

test("a listener that terminates TLS serves the sites of its certificates by Host", async () => {
  const [one, two, shop] = await servers("one", "two", "shop");
  await using house = await proxy({
    listeners: [{ ...listener, tls: [pem()] }],
    routes: [site("app.test", { roundRobin: [one.at, two.at] }), site("shop.test", shop.at)],
  });
  assertMatch(await getInTls(house, "app.test"), /\r\n\r\none$/);
  assertMatch(await getInTls(house, "app.test"), /\r\n\r\ntwo$/);
  assertMatch(await getInTls(house, "app.test", "shop.test"), /\r\n\r\nshop$/);
  assertMatch(await getInTls(house, "app.test", "other.test"), /^HTTP\/1\.1 421 /);
});

test("a certificate's own target is reached beside the sites", async () => {
  await using greeter = await scripted((wire) => {
    wire.send("led");
    wire.end();
  });
  const led = await issuer.issue("own.test");
  await using house = await proxy({
    listeners: [{
      ...listener,
      tls: [pem(), { certificate: led.cert, key: led.key, target: greeter.address }],
    }],
    routes: [{ to: ["app.test"], via: "direct" }, { via: "direct" }],
  });
  using wire = await Wire.tls(house.at, { ca, servername: "own.test" });
  assertEquals(fromUtf8(await wire.rest()), "led");
});

test("beside sni some sites are passed on and the others served, and none that no route names", async () => {
  const [one] = await servers("one");
  await using passed = await scripted(async (wire) => {
    wire.send(await wire.read(1));
    wire.end();
  });
  await using house = await proxy({
    listeners: [{ address: "0.0.0.0:0", reverse: true, sni: true, tls: [pem()] }],
    routes: [site("app.test", one.at), site("pass.test", { failover: [passed.address] }), { via: "direct" }],
  });
  const at = { hostname: "127.0.0.1", port: house.at.port };
  assertMatch(await getInTls({ ...house, at }, "app.test"), /\r\n\r\none$/);
  using plain = await Wire.to(at);
  plain.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
  assert(fromUtf8(await plain.rest()).endsWith("\r\n\r\none"));
  using through = await Wire.to(at);
  through.send(clientHello(serverName("pass.test")));
  assertEquals(toHex(await through.rest()), "16");
  using refused = await Wire.to(at);
  refused.send(clientHello(serverName("localhost")));
  assertEquals(toHex(await refused.rest()), "15 03 01 00 02 02 31");
  const { target, error } = await house.logged("tunnel.failed");
  assertEquals([target, error.code, error.hop], ["localhost:443", "denied", 0]);
});
