/**
 * TLS by server name: passed on byte for byte, terminated with the right certificate, or refused in an alert.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { type Dialer, direct, type Endpoint } from "../../mod.ts";
import { concat, fromUtf8, hex, pieces, toHex } from "../support/bytes.ts";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { alpn, clientHello, clientHelloMessage, records, serverName } from "../support/client_hello.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { rest } from "../support/traffic.ts";
import { socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
let issuer: Authority;
let ca: string;
let one: Certificate;
let two: Certificate;
before(async () => {
  echo = stack.use(await echoOrigin());
  issuer = await authority(directory, "names");
  ca = readFileSync(issuer.file, "utf8");
  one = await issuer.issue("one.test", "*.wild.test");
  two = await issuer.issue("two.test", "exact.wild.test");
});
after(() => stack.disposeAsync());

const unrecognizedName = "15 03 01 00 02 02 70";
const decodeError = "15 03 01 00 02 02 32";
const internalError = "15 03 01 00 02 02 50";

/** Leads everywhere to one place, and notes what was asked for. */
function leadingTo(place: Endpoint): { dialer: Dialer; asked: string[] } {
  const asked: string[] = [];
  const dialer: Dialer = {
    dial(target, ctx) {
      asked.push(`${target.hostname}:${target.port}`);
      return direct().dial(place, ctx);
    },
  };
  return { dialer, asked };
}

const pem = ({ cert, key }: Certificate) => ({ certificate: cert, key });

const hello = concat(clientHello(alpn("h2", "http/1.1"), serverName("Some.Test")), "and more");
const split = records(clientHelloMessage([serverName("some.test")]), 17);

for (const [name, bytes] of [["whole", hello], ["over many records", split]] as const) {
  for (const size of [1, 50, bytes.length]) {
    test(`a ClientHello ${name} is passed on byte for byte, in pieces of ${size}`, async () => {
      const { dialer, asked } = leadingTo(echo);
      await using house = await serving({ listeners: ["sni://127.0.0.1:0"] }, { dialer });
      using wire = await Wire.to(house.at);
      for (const piece of pieces(bytes, size)) {
        wire.send(piece);
        if (size < 20) await rest(0);
      }
      assertEquals(toHex(await wire.read(bytes.length)), toHex(bytes));
      wire.end();
      assertEquals(await wire.ending(), "fin");
      assertEquals(asked, ["some.test:443"]);
      const { fields } = await house.logged("tunnel.closed");
      assertEquals([fields.protocol, fields.target], ["sni", "some.test:443"]);
      assertEquals([fields.bytesUp, fields.bytesDown], [bytes.length, bytes.length]);
    });
  }
}

test("the port is the one given, and the name travels through the chain unresolved", async () => {
  const { dialer, asked } = leadingTo(echo);
  await using hop = await serving({}, { dialer });
  await using house = await serving({
    listeners: ["sni://127.0.0.1:0?port=8443"],
    chains: { out: [`socks5://127.0.0.1:${hop.at.port}`] },
  });
  using wire = await Wire.to(house.at);
  wire.send(hello);
  await wire.read(hello.length);
  assertEquals(asked, ["some.test:8443"]);
});

const namesNobody: [name: string, hello: Uint8Array][] = [
  ["no name", clientHello(alpn("h2"))],
  ["an address for a name", clientHello(serverName("127.0.0.1"))],
  ["a number for a name", clientHello(serverName("2130706433"))],
  ["a name with a port", clientHello(serverName("a.test:22"))],
];

for (const [name, bytes] of namesNobody) {
  test(`a client with ${name} gets the alert unrecognized_name, and nothing is dialled`, async () => {
    const { dialer, asked } = leadingTo(echo);
    await using house = await serving({ listeners: ["sni://127.0.0.1:0"] }, { dialer });
    using wire = await Wire.to(house.at);
    wire.send(bytes);
    assertEquals(toHex(await wire.rest()), unrecognizedName);
    const { fields } = await house.logged("tunnel.failed");
    assertEquals([fields.error.code, fields.error.stage, fields.error.hop], ["denied", "tls", 0]);
    assertEquals(asked, []);
  });
}

test("a broken ClientHello gets the alert decode_error", async () => {
  await using house = await serving({ listeners: ["sni://127.0.0.1:0"] });
  using wire = await Wire.to(house.at);
  wire.send(clientHello(serverName("a.test"), serverName("b.test")));
  assertEquals(toHex(await wire.rest()), decodeError);
  assertStringIncludes((await house.logged("tunnel.failed")).fields.error.message, "stands twice");
});

test("what is no TLS is not passed on", async () => {
  const { dialer, asked } = leadingTo(echo);
  await using house = await serving({ listeners: ["sni://127.0.0.1:0"] }, { dialer });
  for (const bytes of [socks5.ask(echo), concat("GET / HTTP/1.1\r\n\r\n")]) {
    using wire = await Wire.to(house.at);
    wire.send(bytes);
    await wire.ending();
    assertEquals(wire.received.length, 0);
  }
  assertEquals(asked, []);
});

test("a server that can't be reached is told in an alert", async () => {
  const { dialer } = leadingTo({ hostname: "127.0.0.1", port: await freePort() });
  await using house = await serving({ listeners: ["sni://127.0.0.1:0"] }, { dialer });
  using wire = await Wire.to(house.at);
  wire.send(hello);
  assertEquals(toHex(await wire.rest()), internalError);
  const { fields } = await house.logged("tunnel.failed");
  assertEquals([fields.protocol, fields.target, fields.error.code], ["sni", "some.test:443", "refused"]);
});

test("a ClientHello that does not end is waited for no longer than a handshake may take", async () => {
  await using house = await serving({ listeners: ["sni://127.0.0.1:0"], timeouts: { handshake: "300ms" } });
  using wire = await Wire.to(house.at);
  wire.send(hello.slice(0, 60));
  await wire.ending();
  const { error } = (await house.logged("tunnel.failed")).fields;
  assertEquals(error.code, "timeout");
  assertStringIncludes(error.message, "waiting for the ClientHello");
});

test("a ClientHello that is too long is refused", async () => {
  await using house = await serving({ listeners: ["sni://127.0.0.1:0"] });
  using wire = await Wire.to(house.at);
  const long = clientHelloMessage(Array.from({ length: 5 }, (_, i) => [100 + i, new Uint8Array(16_000)]));
  wire.send(records(long));
  assertEquals(toHex(await wire.read(7)), decodeError);
});

/** The common name of the certificate that a listener shows for a name, or how the handshake failed. */
async function shown(at: Endpoint, servername?: string): Promise<string> {
  const options = { ca, servername: servername ?? "", checkServerIdentity: () => undefined };
  using wire = await Wire.tls(at, options);
  return (wire.socket as TLSSocket).getPeerCertificate().subject
    .CN as PeerCertificate["subject"]["CN"] as string;
}

test("of several certificates, the one for the server name is shown, and else the first", async () => {
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls: [pem(one), pem(two)] }] });
  const names: Record<string, string> = {
    "one.test": "one.test",
    "ONE.test": "one.test",
    "two.test": "two.test",
    "any.wild.test": "one.test",
    "exact.wild.test": "two.test",
    "a.b.wild.test": "one.test",
    "other.test": "one.test",
  };
  for (const [name, expected] of Object.entries(names)) {
    assertEquals(await shown(house.at, name), expected, name);
  }
  assertEquals(await shown(house.at), "one.test");
});

test("what is spoken inside is the same with each certificate", async () => {
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls: [pem(one), pem(two)] }] });
  for (const servername of ["one.test", "two.test"]) {
    using wire = await Wire.tls(house.at, { ca, servername });
    wire.send(socks5.ask(echo));
    assertEquals(await socks5.answer(wire), socks5.success);
    wire.send("hello");
    assertEquals(fromUtf8(await wire.read(5)), "hello");
  }
});

test("HTTP/2 is offered with each certificate, but not on behalf of a target", async () => {
  const chosen = async (at: Endpoint, servername: string) => {
    using wire = await Wire.tls(at, { ca, servername, ALPNProtocols: ["h2", "http/1.1"] });
    return (wire.socket as TLSSocket).alpnProtocol || "nothing";
  };
  const led = { ...pem(two), target: echo.address };
  const address = "127.0.0.1:0";
  await using house = await serving({
    listeners: [
      { address, tls: [pem(one), pem(two)] },
      { address, tls: [pem(one), led], protocols: ["http"] },
      { address, tls: [pem(one), pem(two)], protocols: ["socks5"] },
      { address, tls: [pem(one), pem(two)], target: echo.address },
    ],
  });
  const found = house.server.addresses.map((at) =>
    Promise.all(["one.test", "two.test"].map((name) => chosen(at, name)))
  );
  assertEquals(await Promise.all(found), [
    ["h2", "h2"],
    ["h2", "nothing"],
    ["nothing", "nothing"],
    ["nothing", "nothing"],
  ]);
});

test("beside certificates, the names that are theirs are terminated and all others passed on", async () => {
  const { dialer, asked } = leadingTo(echo);
  const listener = { address: "127.0.0.1:0", sni: true, tls: [pem(one), pem(two)], target: echo.address };
  await using house = await serving({ listeners: [listener] }, { dialer });
  for (const servername of ["two.test", "a.wild.test"]) {
    using wire = await Wire.tls(house.at, { ca, servername });
    wire.send("plain");
    assertEquals(fromUtf8(await wire.read(5)), "plain");
  }
  using passed = await Wire.to(house.at);
  passed.send(hello);
  assertEquals(toHex(await passed.read(hello.length)), toHex(hello));
  assertEquals(await shown(house.at), "one.test");
  assertEquals(asked.slice(0, 3), [echo.address, echo.address, "some.test:443"]);
});

test("with a list of names, these are passed on and all others terminated", async () => {
  const { dialer, asked } = leadingTo(echo);
  const sni = { names: ["one.test", "*.corp.test"], port: 8443 };
  await using house = await serving(
    { listeners: [{ address: "127.0.0.1:0", sni, tls: pem(one), protocols: ["socks5"] }] },
    { dialer },
  );
  for (const name of ["one.test", "a.corp.test", "a.b.corp.test"]) {
    using wire = await Wire.to(house.at);
    const bytes = clientHello(serverName(name));
    wire.send(bytes);
    assertEquals(await wire.read(bytes.length), bytes);
  }
  assertEquals(asked, ["one.test:8443", "a.corp.test:8443", "a.b.corp.test:8443"]);
  assertEquals(await shown(house.at, "corp.test"), "one.test");
  assertEquals(await shown(house.at, "x.one.test"), "one.test");
  // TLS is not required, so the listener's protocols are there without it, too.
  using plain = await Wire.to(house.at);
  plain.send(socks5.ask(echo));
  assertEquals(await socks5.answer(plain), socks5.success);
});

test("each certificate may have a target of its own, and plain clients have none", async () => {
  await using greeter = await scripted((wire) => wire.send("two"));
  const tls = [pem(one), { ...pem(two), target: greeter.address }];
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls, target: echo.address }] });
  using first = await Wire.tls(house.at, { ca, servername: "one.test" });
  first.send("one");
  assertEquals(fromUtf8(await first.read(3)), "one");
  using second = await Wire.tls(house.at, { ca, servername: "two.test" });
  assertEquals(fromUtf8(await second.read(3)), "two");
  await using led = await serving({ listeners: [{ address: "127.0.0.1:0", tls: [tls[1]] }] });
  using third = await Wire.tls(led.at, { ca, servername: "two.test" });
  assertEquals(fromUtf8(await third.read(3)), "two");
  using plain = await Wire.to(led.at);
  plain.send(socks5.ask(echo));
  await plain.ending();
  assertEquals(plain.received.length, 0);
});

test("without certificates, only the names on the list are passed on", async () => {
  const { dialer, asked } = leadingTo(echo);
  const listener = { address: "127.0.0.1:0", sni: { names: ["some.test"] } };
  await using house = await serving({ listeners: [listener] }, { dialer });
  using passed = await Wire.to(house.at);
  passed.send(hello);
  await passed.read(hello.length);
  using refused = await Wire.to(house.at);
  refused.send(clientHello(serverName("other.test")));
  assertEquals(toHex(await refused.rest()), unrecognizedName);
  assertEquals(asked, ["some.test:443"]);
});

test("a target inside TLS is spoken to in TLS, whether the client's was terminated or not", async () => {
  await using inner = await serving({
    listeners: [{ address: "127.0.0.1:0", tls: pem(two), target: echo.address }],
  });
  const target = { address: `127.0.0.1:${inner.at.port}`, tls: { ca: issuer.file, serverName: "two.test" } };
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", target }, { address: "127.0.0.1:0", tls: pem(one), target }],
  });
  const [plain, bridged] = house.server.addresses;
  using added = await Wire.to(plain);
  added.send("added");
  assertEquals(fromUtf8(await added.read(5)), "added");
  using wire = await Wire.tls(bridged, { ca, servername: "one.test" });
  wire.send("bridged");
  assertEquals(fromUtf8(await wire.read(7)), "bridged");
});

test("a target whose certificate can't be trusted gets no byte, and the log names it", async () => {
  await using inner = await serving({
    listeners: [{ address: "127.0.0.1:0", tls: pem(two), target: echo.address }],
  });
  const address = `127.0.0.1:${inner.at.port}`;
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", target: { address, tls: {} } }],
  });
  using wire = await Wire.to(house.at);
  wire.send("secret");
  await wire.ending();
  assertEquals(wire.received.length, 0);
  const { error } = (await house.logged("tunnel.failed")).fields;
  assertEquals([error.code, error.stage, error.hop], ["tls", "tls", 0]);
  assertEquals(error.label, `target (${address})`);
});

test("a target that never finishes its handshake is given up", async () => {
  await using silent = await scripted();
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", target: { address: silent.address, tls: {} } }],
    timeouts: { connect: "300ms" },
  });
  using wire = await Wire.to(house.at);
  await wire.ending();
  assertEquals((await house.logged("tunnel.failed")).fields.error.code, "timeout");
});

test("a certificate that is cut short by the client's leaving is no crash", async () => {
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls: pem(one) }] });
  using wire = await Wire.to(house.at);
  wire.send(hex("16 03 01"));
  wire.end();
  await wire.ending();
  assertEquals(await shown(house.at, "one.test"), "one.test");
});
