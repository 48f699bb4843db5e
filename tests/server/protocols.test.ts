/**
 * Every protocol on one port, plain and inside TLS; and what a client hears whose protocol is not welcome.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { Endpoint } from "../../src/core/conn.ts";
import { fromUtf8, hex, toHex } from "../support/bytes.ts";
import { authority, type Certificate } from "../support/certificates.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { type Client, clients, http, httpAnswer, socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
let ca: string;
let certificate: Certificate;
before(async () => {
  echo = stack.use(await echoOrigin());
  const issuer = await authority(directory, "protocols");
  certificate = await issuer.issue("localhost");
  ca = readFileSync(issuer.file, "utf8");
});
after(() => stack.disposeAsync());

const tls = (required: boolean) => ({ certificate: certificate.cert, key: certificate.key, required });
const inTls = (at: Endpoint) => Wire.tls(at, { ca, servername: "localhost" });

/** Asks for the echo server, with the first bytes of the tunnel in the same segment. */
async function echoes(wire: Wire, client: Client): Promise<void> {
  wire.send(client.ask(echo), "early");
  assertEquals(await client.answer(wire), client.success);
  assertEquals(fromUtf8(await wire.read(5)), "early");
  wire.send("later");
  assertEquals(fromUtf8(await wire.read(5)), "later");
}

for (const client of clients) {
  const { protocol } = client;

  test(`${protocol} is served on the port that speaks everything`, async () => {
    await using house = await serving();
    using wire = await Wire.to(house.at);
    await echoes(wire, client);
  });

  test(`${protocol} is served byte by byte`, async () => {
    await using house = await serving();
    using wire = await Wire.to(house.at);
    for (const byte of client.ask(echo)) wire.send(Uint8Array.of(byte));
    assertEquals(await client.answer(wire), client.success);
  });

  test(`${protocol} is served where it alone is allowed`, async () => {
    await using house = await serving({ listeners: [{ address: "127.0.0.1:0", protocols: [protocol] }] });
    using wire = await Wire.to(house.at);
    await echoes(wire, client);
  });

  test(`${protocol} is served plain and inside TLS where TLS is optional`, async () => {
    await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls: tls(false) }] });
    using plain = await Wire.to(house.at);
    await echoes(plain, client);
    using secure = await inTls(house.at);
    await echoes(secure, client);
  });

  test(`${protocol} is served inside TLS where TLS is required, and refused outside`, async () => {
    await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls: tls(true) }] });
    using secure = await inTls(house.at);
    await echoes(secure, client);
    using plain = await Wire.to(house.at);
    plain.send(client.ask(echo), "early");
    assertMatch(await refusal(plain), refused[protocol]);
    const { fields } = await house.logged("tunnel.failed");
    assertMatch(fields.error.message, /requires TLS/);
  });

  const [other] = clients.filter((one) => one.protocol !== protocol);
  test(`${protocol} is refused in its own words where only ${other.protocol} is spoken`, async () => {
    const listener = { address: "127.0.0.1:0", protocols: [other.protocol] };
    await using house = await serving({ listeners: [listener, { ...listener, tls: tls(true) }] });
    using plain = await Wire.to(house.at);
    plain.send(client.ask(echo), "early");
    assertMatch(await refusal(plain), refused[protocol]);
    using secure = await inTls(house.server.addresses[1]);
    secure.send(client.ask(echo), "early");
    assertMatch(await refusal(secure), refused[protocol]);
    const { fields } = await house.logged("tunnel.failed");
    assertMatch(fields.error.message, new RegExp(`does not speak ${protocol}`));
  });
}

/** The whole answer, up to a FIN: bytes as `hex()`, HTTP as its text. */
async function refusal(wire: Wire): Promise<string> {
  const bytes = await wire.rest();
  wire.end();
  return bytes[0] === "H".charCodeAt(0) ? fromUtf8(bytes) : toHex(bytes);
}

const refused = {
  socks5: /^05 ff$/,
  socks4: /^00 5b( 00){6}$/,
  http: /^HTTP\/1\.1 4\d\d [^]+\r\n\r\n.{10,}\n$/,
};

test("a ClientHello on a listener without TLS gets a TLS alert", async () => {
  await using house = await serving();
  using wire = await Wire.to(house.at);
  wire.send(hex("16 03 01 02 00 01 00 01 fc 03 03"), new Uint8Array(200));
  assertMatch(toHex(await wire.rest()), /^15 03 0[1-4] 00 02 02 [0-9a-f]{2}$/);
  await assertRejects(() => inTls(house.at));
});

test("garbage inside a TLS handshake is answered by an end in good order", async () => {
  for (const url of ["127.0.0.1:0", "tcp+tls://127.0.0.1:0"]) {
    const pem = `cert=${certificate.cert}&key=${certificate.key}`;
    const way = url.startsWith("tcp") ? `${url}/${echo.address}` : url;
    await using house = await serving({ listeners: [`${way}?${pem}`] });
    using wire = await Wire.to(house.at);
    wire.send(hex("16 03 01 00 04 ff 00 00 00"), new Uint8Array(9000).fill(7));
    assertEquals(await wire.ending(), "fin", url);
    assertEquals((await house.logged("tunnel.failed")).fields.error.stage, "tls");
  }
});

test("TLS inside TLS is refused by an alert: only one layer is the listener's", async () => {
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls: tls(true) }] });
  using wire = await inTls(house.at);
  wire.send(hex("16 03 01 00 10"), new Uint8Array(16));
  await wire.ending();
  const { fields } = await house.logged("tunnel.failed");
  assertEquals([fields.error.code, fields.error.hop], ["protocol", 0]);
});

test("bytes of no protocol end the connection, and the log shows them", async () => {
  await using house = await serving();
  using wire = await Wire.to(house.at);
  wire.send(hex("99 0d 0a 1b 5b"));
  await wire.ending();
  assertEquals(wire.received.length, 0);
  const { fields } = await house.logged("tunnel.failed");
  assertEquals([fields.error.code, fields.error.stage], ["protocol", "request"]);
  assertMatch(fields.error.message, /99 0d 0a 1b 5b/);
});

test("a request for a web page is told what this is", async () => {
  await using house = await serving();
  using wire = await Wire.to(house.at);
  wire.send("GET / HTTP/1.1\r\nHost: proxy\r\n\r\n");
  const { status, body } = await httpAnswer(wire);
  assertEquals(status, 400);
  assertMatch(body, /proxy/);
});

test("an IPv6 listener and an IPv6 target, in both protocols that can name it", async () => {
  await using six = await echoOrigin("::1");
  await using house = await serving({ listeners: ["[::1]:0"] });
  assertEquals(house.at.hostname, "::1");
  for (const client of [socks5, http]) {
    using wire = await Wire.to(house.at);
    wire.send(client.ask(six), "early");
    assertEquals(await client.answer(wire), client.success);
    assertEquals(fromUtf8(await wire.read(5)), "early");
  }
  const { fields } = await house.logged("tunnel.closed");
  assertMatch(String(fields.client), /^\[::1\]:\d+$/);
});

test("one listener on every address serves IPv4 and IPv6, and logs an IPv4 client as such", async () => {
  await using house = await serving({ listeners: [":0?open=true"], access: { private: "allow" } });
  for (const hostname of ["127.0.0.1", "::1"]) {
    using closed = await Wire.to({ hostname, port: house.at.port });
    closed.send(socks5.ask({ hostname: "127.0.0.1", port: 1 }));
    assertEquals(await socks5.answer(closed), 5);
  }
  const [four, six] = await Promise.all([house.logged("tunnel.failed"), house.logged("tunnel.failed", 2)]);
  assertMatch(String(four.fields.client), /^127\.0\.0\.1:\d+$/);
  assertMatch(String(six.fields.client), /^\[::1\]:\d+$/);
});
