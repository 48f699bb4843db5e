/**
 * Routes with a target: what matches goes there, whatever it asked for.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import type { ConfigInput } from "../../mod.ts";
import { fromUtf8, toHex } from "../support/bytes.ts";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { clientHello, serverName } from "../support/client_hello.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { clients, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { type Scripted, scripted, Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
let issuer: Authority;
let ca: string;
let site: Certificate;
/** A name that nobody can look up. */
const asked = { hostname: "app.test", port: 443 };
const local = (port: number) => ({ hostname: "127.0.0.1", port });

before(async () => {
  echo = stack.use(await echoOrigin());
  issuer = await authority(directory, "targets");
  ca = readFileSync(issuer.file, "utf8");
  site = await issuer.issue("app.test");
});
after(() => stack.disposeAsync());

type Routes = NonNullable<ConfigInput["routes"]>;
type TargetInput = NonNullable<Routes[number]["target"]>;

/** Routes by which `app.test` is led to a target. */
const to = (target: TargetInput, via?: Routes[number]["via"]): Routes => [
  { to: ["app.test"], target, ...(via && { via }) },
];

const named = (name: string) =>
  scripted((wire) => {
    wire.send(name);
    wire.end();
  });

/** All that comes through a tunnel to `app.test`. */
async function answer({ server }: Serving, listener = 0): Promise<string> {
  using wire = await Wire.to(local(server.addresses[listener].port));
  wire.send(socks5.ask(asked));
  assertEquals(await socks5.answer(wire), socks5.success);
  const text = fromUtf8(await wire.rest());
  wire.end();
  return text;
}

for (const client of clients) {
  test(`a tunnel leads to the route's target by ${client.protocol}, and the name is not looked up`, async () => {
    await using house = await serving({
      routes: [{ protocols: ["sni"], via: "direct" }, ...to(echo.address)],
    });
    using wire = await Wire.to(house.at);
    wire.send(client.ask(asked), "hello");
    assertEquals(await client.answer(wire), client.success);
    assertEquals(fromUtf8(await wire.read(5)), "hello");
    wire.end();
    await wire.ending();
    const { target, server, route, via } = (await house.logged("tunnel.closed")).fields;
    assertEquals({ target, server, route, via }, {
      target: "app.test:443",
      server: echo.address,
      route: 2,
      via: [],
    });
  });
}

test("by the hops of via, the last of which is asked for the target alone", async () => {
  await using hop = await serving();
  await using house = await serving({ routes: to(echo.address, [`http://127.0.0.1:${hop.at.port}`]) });
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(asked), "hello");
  assertEquals(await socks5.answer(wire), socks5.success);
  assertEquals(fromUtf8(await wire.read(5)), "hello");
  wire.end();
  await wire.ending();
  const { target, server, via } = (await house.logged("tunnel.closed")).fields;
  assertEquals([target, server, via], ["app.test:443", echo.address, [`http://127.0.0.1:${hop.at.port}`]]);
  assertEquals((await hop.logged("tunnel.closed")).fields.target, echo.address);
});

test("what other routes match goes where it asks", async () => {
  await using house = await serving({ routes: [...to("127.0.0.1:1"), { via: "direct" }] });
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(echo), "hello");
  assertEquals(await socks5.answer(wire), socks5.success);
  assertEquals(fromUtf8(await wire.read(5)), "hello");
  wire.end();
  await wire.ending();
  const { target, server } = (await house.logged("tunnel.closed")).fields;
  assertEquals([target, server], [echo.address, undefined]);
});

test("members take turns, one that is gone is passed over, and the log has the one that served", async () => {
  await using one = await named("one");
  await using two = await named("two");
  const gone = `127.0.0.1:${await freePort()}`;
  await using house = await serving({ routes: to({ roundRobin: [one.address, gone, two.address] }) });
  const answers: string[] = [];
  for (let i = 1; i <= 6; i++) {
    answers.push(await answer(house));
    await house.logged("tunnel.closed", i);
  }
  assertEquals(answers.slice(0, 3), ["one", "two", "two"]);
  const addresses: Record<string, string> = { one: one.address, two: two.address };
  const closed = house.events.filter(({ event }) => event === "tunnel.closed").map(({ fields }) => fields);
  assertEquals(closed.map(({ server }) => server), answers.map((name) => addresses[name]));
  assertEquals(closed.map(({ target }) => target), answers.map(() => "app.test:443"));
  const { fields } = await house.logged("member.down");
  assertEquals([fields.group, fields.member], [`roundRobin(${one.address}, ${gone}, ${two.address})`, gone]);
});

test("a group of hops leads to a group of targets", async () => {
  await using hop = await serving();
  await using two = await named("two");
  const gone = `127.0.0.1:${await freePort()}`;
  const working = `socks5://127.0.0.1:${hop.at.port}`;
  const via = { failover: [`socks5://${gone}`, working] };
  await using house = await serving({ routes: to({ failover: [gone, two.address] }, via) });
  assertEquals(await answer(house), "two");
  const { server, via: taken } = (await house.logged("tunnel.closed")).fields;
  assertEquals([server, taken], [two.address, [working]]);
});

test("when all are gone the client is told, and the log names the last that was tried", async () => {
  const [one, two] = [await freePort(), await freePort()].map((port) => `127.0.0.1:${port}`);
  await using house = await serving({ routes: to({ failover: [one, two] }) });
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(asked));
  assertEquals(await socks5.answer(wire), 5);
  const { target, server, error } = (await house.logged("tunnel.failed")).fields;
  assertEquals([target, server, error.code], ["app.test:443", two, "refused"]);
});

test("the target is told of the client and spoken to in TLS, as it says", async () => {
  const told = { address: "127.0.0.1:0", proxyProtocol: { trusted: ["127.0.0.0/8"] } };
  const tls = { certificate: site.cert, key: site.key };
  await using inner = await serving({ listeners: [{ ...told, tls, target: echo.address }] });
  await using house = await serving({
    routes: to({
      address: `127.0.0.1:${inner.at.port}`,
      proxyProtocol: 2,
      tls: { ca: issuer.file, serverName: "app.test" },
    }),
  });
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(asked), "hello");
  assertEquals(await socks5.answer(wire), socks5.success);
  assertEquals(fromUtf8(await wire.read(5)), "hello");
  const client = `127.0.0.1:${wire.socket.localPort}`;
  wire.end();
  await wire.ending();
  assertEquals((await inner.logged("tunnel.closed")).fields.client, client);
});

test("a port forward is led on, and spoken to as the route says, not as the listener does", async () => {
  await using one = await named("one");
  const listener = { address: "127.0.0.1:0", target: { address: "app.test:443", tls: {} } };
  await using house = await serving({ listeners: [listener], routes: to(one.address) });
  using wire = await Wire.to(house.at);
  assertEquals(fromUtf8(await wire.rest()), "one");
  wire.end();
  const { target, server } = (await house.logged("tunnel.closed")).fields;
  assertEquals([target, server], ["app.test:443", one.address]);
});

test("clients are kept from what access denies them by name, and not from a route's target", async () => {
  await using one = await named("one");
  await using house = await serving({
    listeners: ["0.0.0.0:0?open=true"],
    routes: [...to({ failover: [one.address] }), { to: ["other.test"], target: one.address }],
    access: { private: "deny", deny: ["other.test", "127.0.0.0/8"] },
  });
  assertEquals(await answer(house), "one");
  using wire = await Wire.to(local(house.at.port));
  wire.send(socks5.ask({ hostname: "other.test", port: 443 }));
  assertEquals(await socks5.answer(wire), 2);
  const { error } = (await house.logged("tunnel.failed")).fields;
  assertEquals(error.message, "other.test is listed in access.deny");
});

// --- TLS by server name ---------------------------------------------------------------------------------------------

/** A server inside TLS that says its name. */
async function inTls(name: string): Promise<Serving & { inner: Scripted }> {
  const inner = await named(name);
  const tls = { certificate: site.cert, key: site.key };
  const house = await serving({ listeners: [{ address: "127.0.0.1:0", tls, target: inner.address }] });
  return {
    ...house,
    inner,
    async [Symbol.asyncDispose]() {
      await house[Symbol.asyncDispose]();
      await inner[Symbol.asyncDispose]();
    },
  };
}

const address = ({ at }: Serving) => `127.0.0.1:${at.port}`;

test("TLS is passed on by its name to the members of a group, unopened", async () => {
  await using one = await inTls("one");
  await using two = await inTls("two");
  const gone = `127.0.0.1:${await freePort()}`;
  await using house = await serving({
    listeners: ["sni://127.0.0.1:0"],
    routes: to({ roundRobin: [address(one), gone, address(two)] }),
  });
  for (let i = 1; i <= 8; i++) {
    using wire = await Wire.tls(house.at, { ca, servername: "app.test" });
    assertEquals((wire.socket as TLSSocket).authorized, true);
    assertMatch(fromUtf8(await wire.rest()), /^(one|two)$/);
    await house.logged("tunnel.closed", i);
  }
  const counts = [one, two].map(({ inner }) => inner.accepted.length);
  assertEquals(counts[0] + counts[1], 8);
  assertEquals(counts.every((count) => count >= 2), true, `${counts}`);
  const { protocol, target, server } = (await house.logged("tunnel.closed")).fields;
  assertEquals([protocol, target, server], ["sni", "app.test:443", address(one)]);
  assertEquals(house.events.filter(({ event }) => event === "tunnel.failed"), []);
});

test("a name that no route is for is refused in an alert", async () => {
  await using house = await serving({ listeners: ["sni://127.0.0.1:0"], routes: to(echo.address) });
  using wire = await Wire.to(house.at);
  wire.send(clientHello(serverName("other.test")));
  assertEquals(toHex(await wire.rest()), "15 03 01 00 02 02 31");
  assertEquals((await house.logged("tunnel.failed")).fields.error.code, "denied");
});

test("the PROXY protocol of sni is for the servers that clients name, not for a route's target", async () => {
  await using one = await inTls("one");
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", sni: { proxyProtocol: 1 } }],
    routes: to(address(one)),
  });
  using wire = await Wire.tls(house.at, { ca, servername: "app.test" });
  assertEquals(fromUtf8(await wire.rest()), "one");
});
