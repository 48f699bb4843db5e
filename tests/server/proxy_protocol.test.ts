/**
 * The PROXY protocol on listeners, which proxies in front speak, and towards hops and targets, which are told of the
 * client.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { concat, fromUtf8, hex, toHex } from "../support/bytes.ts";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { alpn, clientHello, serverName } from "../support/client_hello.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { clients, http, socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
let issuer: Authority;
let certificate: Certificate;
before(async () => {
  echo = stack.use(await echoOrigin());
  issuer = await authority(directory, "proxied");
  certificate = await issuer.issue("localhost", "127.0.0.1");
});
after(() => stack.disposeAsync());

const trusting = "127.0.0.1:0?proxy-protocol=127.0.0.0/8";
const v1 = "PROXY TCP4 192.0.2.1 198.51.100.2 40112 443\r\n";
const v2 = hex(
  "0d0a0d0a000d0a515549540a 21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 9cb0 01bb",
);
const local = hex("0d0a0d0a000d0a515549540a 20 00 0000");

const stated: [name: string, header: Uint8Array | string, client: string | null][] = [
  ["version 1", v1, "192.0.2.1:40112"],
  ["version 2", v2, "[2001:db8::1]:40112"],
  ["UNKNOWN", "PROXY UNKNOWN\r\n", null],
  ["LOCAL", local, null],
];

for (const [name, header, source] of stated) {
  for (const client of clients) {
    test(`${name} in front of ${client.protocol} says who the client is, coalesced with what follows`, async () => {
      await using house = await serving({ listeners: [trusting] });
      using wire = await Wire.to(house.at);
      const { localPort } = wire.socket;
      wire.send(header, client.ask(echo), "hello");
      assertEquals(await client.answer(wire), client.success);
      assertEquals(fromUtf8(await wire.read(5)), "hello");
      wire.end();
      await wire.ending();
      const { fields } = await house.logged("tunnel.closed");
      assertEquals(fields.client, source ?? `127.0.0.1:${localPort}`);
    });
  }
}

test("a header may come byte by byte", async () => {
  await using house = await serving({ listeners: [trusting] });
  using wire = await Wire.to(house.at);
  for (const byte of concat(v1, http.ask(echo))) {
    wire.send(Uint8Array.of(byte));
    await new Promise((done) => setTimeout(done));
  }
  assertEquals(await http.answer(wire), 200);
});

test("a header comes before TLS", async () => {
  const tls = { certificate: certificate.cert, key: certificate.key };
  await using house = await serving({
    listeners: [{
      address: "127.0.0.1:0",
      proxyProtocol: { trusted: ["127.0.0.1"] },
      tls,
      target: echo.address,
    }],
  });
  using wire = await Wire.to(house.at);
  wire.send(v1);
  const ca = readFileSync(issuer.file, "utf8");
  const inside = new Wire(connectTls({ socket: wire.socket as never, ca, servername: "localhost" }));
  inside.send("secret");
  assertEquals(fromUtf8(await inside.read(6)), "secret");
  inside.end();
  await inside.ending();
  assertEquals((await house.logged("tunnel.closed")).fields.client, "192.0.2.1:40112");
});

test("a peer outside the trusted networks is refused at once, whatever it says", async () => {
  await using house = await serving({ listeners: ["127.0.0.1:0?proxy-protocol=192.0.2.0/24,::1"] });
  for (const bytes of ["", v1, v2, socks5.ask(echo)]) {
    using wire = await Wire.to(house.at);
    wire.send(bytes);
    await wire.ending();
    assertEquals(wire.received.length, 0);
  }
  const { fields } = await house.logged("tunnel.failed", 4);
  assertEquals([fields.error.code, fields.error.hop], ["denied", 0]);
  assertMatch(fields.client, /^127\.0\.0\.1:/);
});

test("a client without a header is refused without an answer", async () => {
  await using house = await serving({ listeners: [trusting] });
  for (const client of clients) {
    using wire = await Wire.to(house.at);
    wire.send(client.ask(echo));
    await wire.ending();
    assertEquals(wire.received.length, 0);
  }
  assertEquals((await house.logged("tunnel.failed", 3)).fields.error.code, "protocol");
});

test("a header is no header where none is asked for", async () => {
  await using house = await serving();
  using wire = await Wire.to(house.at);
  wire.send(v2);
  await wire.ending();
  assertEquals(wire.received.length, 0);
});

test("a header that does not end is waited for no longer than a handshake may take", async () => {
  await using house = await serving({ listeners: [trusting], timeouts: { handshake: "300ms" } });
  using wire = await Wire.to(house.at);
  wire.send("PROXY TCP4 ");
  await wire.ending();
  const { error } = (await house.logged("tunnel.failed")).fields;
  assertEquals(error.code, "timeout");
  assertStringIncludes(error.message, "the PROXY protocol header");
});

test("limits count the client that the header names", async () => {
  await using house = await serving({ listeners: [trusting], limits: { tunnelsPerClient: 1 } });
  const open = async (source: string) => {
    const wire = await Wire.to(house.at);
    wire.send(`PROXY TCP4 ${source} 198.51.100.2 1000 443\r\n`, http.ask(echo));
    return { wire, status: await http.answer(wire) };
  };
  const first = await open("192.0.2.1");
  const same = await open("192.0.2.1");
  const other = await open("192.0.2.2");
  assertEquals([first, same, other].map(({ status }) => status), [200, 503, 200]);
  for (const { wire } of [first, same, other]) wire[Symbol.dispose]();
});

test("a loop through a proxy that tells of the client is found", async () => {
  const house = stack.use(await serving({ listeners: [trusting] }));
  await using between = await scripted(async (wire) => {
    using back = await Wire.to(house.at);
    const { remotePort, localPort } = wire.socket;
    back.send(`PROXY TCP4 127.0.0.1 127.0.0.1 ${remotePort} ${localPort}\r\n`, http.ask(echo));
    assertEquals(await http.answer(back), 508);
    wire.send("found");
    wire.end();
    await wire.ending();
  });
  using wire = await Wire.to(house.at);
  wire.send(v1, http.ask(between));
  assertEquals(await http.answer(wire), 200);
  assertEquals(fromUtf8(await wire.read(5)), "found");
});

test("a hop is told of the client before anything else, in version 1", async () => {
  await using hop = await scripted();
  await using house = await serving({ chains: { out: [`socks5://${hop.address}?proxy-protocol=1`] } });
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(echo));
  await house.logged("listener.ready");
  const heard = await accepted(hop);
  const { port } = house.at;
  assertEquals(
    await heard.readThrough("\r\n"),
    `PROXY TCP4 127.0.0.1 127.0.0.1 ${wire.socket.localPort} ${port}\r\n`,
  );
  assertEquals(toHex(await heard.read(3)), "05 01 00");
});

test("a hop inside TLS is told before TLS, and of the client that a proxy in front named", async () => {
  const tls = { certificate: certificate.cert, key: certificate.key };
  await using hop = await serving({
    listeners: [{ address: "127.0.0.1:0", proxyProtocol: { trusted: ["127.0.0.1"] }, tls }],
  });
  for (const version of [1, 2]) {
    const exit = `socks5+tls://127.0.0.1:${hop.at.port}?ca=${issuer.file}&proxy-protocol=${version}`;
    await using house = await serving({ listeners: [trusting], chains: { out: [exit] } });
    using wire = await Wire.to(house.at);
    wire.send(version === 1 ? v1 : v2, socks5.ask(echo), "hello");
    assertEquals(await socks5.answer(wire), 0);
    assertEquals(fromUtf8(await wire.read(5)), "hello");
    wire.end();
    await wire.ending();
    const { fields } = await hop.logged("tunnel.closed", version);
    assertEquals(fields.client, version === 1 ? "192.0.2.1:40112" : "[2001:db8::1]:40112");
  }
});

test("a hop that is told of the client shares no connection by HTTP/2", async () => {
  const { cert, key } = certificate;
  await using far = await serving({
    listeners: [{
      address: "127.0.0.1:0",
      proxyProtocol: { trusted: ["127.0.0.0/8"] },
      tls: { certificate: cert, key },
    }],
  });
  const hop = `https://127.0.0.1:${far.at.port}?proxy-protocol=2&ca=${encodeURIComponent(issuer.file)}`;
  await using near = await serving({ chains: { main: [hop] } });
  for (const n of [1, 2]) {
    using wire = await Wire.to(near.at);
    wire.send(socks5.ask(echo));
    assertEquals(await socks5.answer(wire), socks5.success);
    const client = `127.0.0.1:${wire.socket.localPort}`;
    wire.end();
    await wire.ending();
    const { fields } = await far.logged("tunnel.closed", n);
    assertEquals([fields.protocol, fields.client], ["http", client]);
  }
});

test("a target is told of the client", async () => {
  await using server = await scripted();
  const target = { address: server.address, proxyProtocol: 1 as const };
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", target }] });
  using wire = await Wire.to(house.at);
  wire.send("hello");
  const heard = await accepted(server);
  const header = `PROXY TCP4 127.0.0.1 127.0.0.1 ${wire.socket.localPort} ${house.at.port}\r\n`;
  assertEquals(fromUtf8(await heard.read(header.length + 5)), `${header}hello`);
});

test("a server that TLS is passed on to is told the name, the only protocol, and a unique id", async () => {
  await using server = await scripted();
  const sni = { port: server.port, proxyProtocol: 2 as const };
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", sni }] });
  const tell = async (hello: Uint8Array, n: number) => {
    using wire = await Wire.to(house.at);
    wire.send(hello);
    const heard = await accepted(server, n);
    const head = await heard.read(16);
    const body = await heard.read(head[14] << 8 | head[15]);
    assertEquals(await heard.read(hello.length), hello);
    assertEquals(toHex(head.slice(0, 14)), "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 21 11");
    assertEquals(toHex(body.slice(0, 8)), "7f 00 00 01 7f 00 00 01");
    return tlvs(body.slice(12));
  };
  const first = await tell(clientHello(serverName("Localhost"), alpn("h2")), 0);
  const second = await tell(clientHello(serverName("localhost"), alpn("h2", "http/1.1")), 1);
  assertEquals(first.map(([type]) => type), [1, 2, 5, 3]);
  assertEquals(second.map(([type]) => type), [2, 5, 3]);
  assertEquals([fromUtf8(first[0][1]), fromUtf8(first[1][1])], ["h2", "localhost"]);
  const ids = [first[2][1], second[1][1]].map(fromUtf8);
  for (const id of ids) assertMatch(id, /^[0-9a-f-]{36}-\d+$/);
  assertEquals(new Set(ids).size, 2);
});

test("a unique id that came is passed on", async () => {
  await using server = await scripted();
  const target = { address: server.address, proxyProtocol: 2 as const };
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", proxyProtocol: { trusted: ["127.0.0.1"] }, target }],
  });
  using wire = await Wire.to(house.at);
  const block = "c0000201 c6336402 9cb0 01bb";
  wire.send(hex(`0d0a0d0a000d0a515549540a 21 11 0011 ${block} 05 0002 ff00`));
  const heard = await accepted(server);
  assertEquals(
    toHex((await heard.read(16 + 12 + 5)).slice(12)),
    toHex(hex(`21 11 0018 ${block} 05 0002 ff00`)),
  );
});

/** The `n`th connection to a scripted server. */
async function accepted(server: { accepted: readonly Wire[] }, n = 0): Promise<Wire> {
  for (let i = 0; i < 1000; i++) {
    if (server.accepted[n] !== undefined) return server.accepted[n];
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error("nobody came");
}

function tlvs(bytes: Uint8Array): [type: number, value: Uint8Array][] {
  const found: [number, Uint8Array][] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 3 + (bytes[at + 1] << 8 | bytes[at + 2]);
    found.push([bytes[at], bytes.slice(at + 3, end)]);
    at = end;
  }
  return found;
}
