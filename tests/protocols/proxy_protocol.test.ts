/**
 * The PROXY protocol: headers taken and made, byte by byte, against the specification of 2.8 and its examples.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { ipFromBytes } from "../../src/core/address.ts";
import type { Client } from "../../src/core/conn.ts";
import { background } from "../../src/core/handshake.ts";
import { accept, format, proxyProtocolLayer } from "../../src/protocols/proxy_protocol.ts";
import { crc32c } from "../../src/protocols/proxy_protocol_crc.ts";
import { concat, cutAt, fromUtf8, hex, pieces, toHex, utf8 } from "../support/bytes.ts";
import { proxyError, rejectionOf } from "../support/errors.ts";
import { FakeConn } from "../support/fake_conn.ts";
import { run } from "../support/handshake.ts";

const signature = hex("0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a");

/** A header of version 2, its length filled in. */
function v2(command: string, ...body: (Uint8Array | string)[]): Uint8Array {
  const bytes = concat(...body.map((part) => typeof part === "string" ? hex(part) : part));
  return concat(signature, hex(command), Uint8Array.of(bytes.length >> 8, bytes.length & 255), bytes);
}

const v4Block = "c0 00 02 01 c6 33 64 02 9c b0 01 bb";
const v6Block = "20010db8 00000000 00000000 00000001 20010db8 00000000 00000000 00000002 9c b0 01 bb";
const unixBlock = new Uint8Array(216).fill(0x2f);
const v4: Client = {
  source: { hostname: "192.0.2.1", port: 40112 },
  destination: { hostname: "198.51.100.2", port: 443 },
};
const v6: Client = {
  source: { hostname: "2001:db8::1", port: 40112 },
  destination: { hostname: "2001:db8::2", port: 443 },
};

/** A header with a good checksum as its last TLV. */
function summed(header: Uint8Array): Uint8Array {
  const whole = header.slice();
  new DataView(whole.buffer).setUint32(whole.length - 4, crc32c(whole));
  return whole;
}

const longest = `PROXY UNKNOWN ${"f".repeat(107 - 16)}\r\n`;

const accepted: [name: string, header: Uint8Array, client: Client][] = [
  ["TCP4", utf8("PROXY TCP4 192.0.2.1 198.51.100.2 40112 443\r\n"), v4],
  ["TCP6", utf8("PROXY TCP6 2001:db8::1 2001:DB8:0::2 40112 443\r\n"), v6],
  ["TCP6 with an IPv4 client", utf8("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 40112 443\r\n"), v4],
  ["the ports 0 and 65535", utf8("PROXY TCP4 192.0.2.1 192.0.2.2 0 65535\r\n"), {
    source: { hostname: "192.0.2.1", port: 0 },
    destination: { hostname: "192.0.2.2", port: 65535 },
  }],
  ["UNKNOWN", utf8("PROXY UNKNOWN\r\n"), {}],
  ["UNKNOWN with addresses", utf8("PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n"), {}],
  ["UNKNOWN with anything", utf8("PROXY UNKNOWN a b c d e f\r\n"), {}],
  ["107 bytes", utf8(longest), {}],
  ["v2 over IPv4", v2("21 11", v4Block), v4],
  ["v2 over IPv6", v2("21 21", v6Block), v6],
  ["v2, a datagram's addresses", v2("21 12", v4Block), v4],
  [
    "v2, IPv4-mapped",
    v2("21 21", "0000000000000000 0000ffff c0000201 0000000000000000 0000ffff c6336402 9cb0 01bb"),
    v4,
  ],
  ["v2, an unspecified transport", v2("21 10", v4Block), {}],
  ["v2, Unix sockets", v2("21 31", unixBlock), {}],
  ["v2, LOCAL", v2("20 00"), {}],
  ["v2, LOCAL with an address", v2("20 11", v4Block), {}],
  ["v2, LOCAL with anything", v2("20 11", "ff ff ff"), {}],
  ["v2, of no family", v2("21 00", "ff ff ff ff"), {}],
  [
    "v2 with TLVs",
    v2("21 11", v4Block, "01 00 02 68 32", "02 00 03 61 2e 62", "04 00 01 00", "05 00 02 ff 00", "ea 00 00"),
    { ...v4, alpn: "h2", serverName: "a.b", uniqueId: hex("ff 00") },
  ],
  ["v2 with a good checksum", summed(v2("21 11", v4Block, "03 00 04 00 00 00 00")), v4],
  ["v2 of 4 KiB", v2("21 11", v4Block, "04 0f f1", new Uint8Array(4081)), v4],
];

for (const [name, header, client] of accepted) {
  test(`taken: ${name}, whole, byte by byte and with what follows`, () => {
    for (const arrivals of [[header], pieces(header, 1)]) {
      const { result, error, rest } = run(accept(), arrivals);
      assertEquals([error, result, rest.length], [undefined, client, 0]);
    }
    const { result, rest } = run(accept(), concat(header, hex("16 03 01"), "PROXY "));
    assertEquals([result, toHex(rest)], [client, "16 03 01 50 52 4f 58 59 20"]);
  });
}

const refused: [name: string, header: Uint8Array, message: string][] = [
  ["HTTP", utf8("GET / HTTP/1.1\r\n\r\n"), "got something else"],
  ["SOCKS5 with many methods", hex("05 06 00 01 02 03 04 05"), "got something else"],
  ["TLS", hex("16 03 01 02 00 01 00 01"), "got something else"],
  ["lower case", utf8("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), "got something else"],
  [
    "a signature that goes wrong late",
    concat(signature.slice(0, 11), hex("0b 21 11 00 00")),
    "got something else",
  ],
  ["108 bytes", utf8(longest.replace("\r\n", "f\r\n")), "the line is longer than 107 bytes"],
  ["no end", utf8(`PROXY UNKNOWN ${"f".repeat(200)}`), "the line is longer than 107 bytes"],
  ["a line feed alone", utf8("PROXY UNKNOWN\n"), "CRLF"],
  ["NUL", utf8("PROXY UNKNOWN \0\r\n"), "CRLF"],
  ["TCP5", utf8("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"), "expected PROXY TCP4 or TCP6"],
  ["UNKNOWN and more in one word", utf8("PROXY UNKNOWN1\r\n"), "expected PROXY TCP4 or TCP6"],
  ["a missing port", utf8("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), "two addresses and two ports"],
  ["a field too many", utf8("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), "two addresses and two ports"],
  ["two spaces", utf8("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"), "two addresses and two ports"],
  ["a tab", utf8("PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n"), "expected PROXY TCP4 or TCP6"],
  ["nothing", utf8("PROXY \r\n"), "ended"],
  ["IPv6 in TCP4", utf8("PROXY TCP4 ::1 ::1 1 2\r\n"), "two TCP4 addresses"],
  ["IPv4 in TCP6", utf8("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"), "two TCP6 addresses"],
  ["a name", utf8("PROXY TCP4 localhost 192.0.2.2 1 2\r\n"), "two TCP4 addresses"],
  ["an octal address", utf8("PROXY TCP4 0192.0.2.1 192.0.2.2 1 2\r\n"), "two TCP4 addresses"],
  ["a short address", utf8("PROXY TCP4 127.1 192.0.2.2 1 2\r\n"), "two TCP4 addresses"],
  ["a zone", utf8("PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n"), "two TCP6 addresses"],
  ["brackets", utf8("PROXY TCP6 [::1] ::1 1 2\r\n"), "two TCP6 addresses"],
  ["a leading zero", utf8("PROXY TCP4 192.0.2.1 192.0.2.2 080 2\r\n"), "a port is no number"],
  ["two zeros", utf8("PROXY TCP4 192.0.2.1 192.0.2.2 00 2\r\n"), "a port is no number"],
  ["a port of 65536", utf8("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"), "a port is no number"],
  ["a negative port", utf8("PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n"), "a port is no number"],
  ["an empty port", utf8("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n"), "a port is no number"],
  ["version 1 in the binary form", v2("11 11", v4Block), "version 1"],
  ["version 3", v2("31 11", v4Block), "version 3"],
  ["command 2", v2("22 11", v4Block), "is not assigned"],
  ["family 4", v2("21 41", v4Block), "is not assigned"],
  ["transport 3", v2("21 13", v4Block), "is not assigned"],
  ["LOCAL of family 4", v2("20 40"), "is not assigned"],
  ["a header over 4 KiB", concat(signature, hex("20 00 10 01")), "4097 bytes long"],
  ["a short IPv4 block", v2("21 11", v4Block.slice(0, -3)), "cut short"],
  ["a short IPv6 block", v2("21 21", v4Block), "cut short"],
  ["a short Unix block", v2("21 31", unixBlock.slice(1)), "cut short"],
  ["no block", v2("21 11"), "cut short"],
  ["a TLV without its length", v2("21 11", v4Block, "04 00"), "longer than the header"],
  ["a TLV of one byte", v2("21 11", v4Block, "04"), "longer than the header"],
  ["a TLV that overruns", v2("21 11", v4Block, "04 00 02 00"), "longer than the header"],
  ["a TLV that overruns by far", v2("21 11", v4Block, "04 ff ff 00"), "longer than the header"],
  ["a bad checksum", v2("21 11", v4Block, "03 00 04 00 00 00 01"), "does not match"],
  ["a checksum of 3 bytes", v2("21 11", v4Block, "03 00 03 00 00 00"), "other than 4 bytes"],
  ["a unique id of 129 bytes", v2("21 11", v4Block, "05 00 81", new Uint8Array(129)), "unique id"],
];

for (const [name, header, message] of refused) {
  test(`refused: ${name}, whole and byte by byte`, () => {
    for (const arrivals of [[header], pieces(header, 1)]) {
      const { error, done } = run(accept(), arrivals, { end: true });
      assertEquals(done, true);
      const failure = proxyError(error);
      if (message !== "ended") assertStringIncludes(failure.message, message);
      assertEquals([failure.side, failure.stage], ["client", "request"]);
    }
  });
}

test("what can't begin a header is refused at its first byte, or at its eighth", () => {
  for (const other of ["\x05", "\x04", "\x16", "G"]) assertEquals(run(accept(), utf8(other)).done, true);
  assertEquals(run(accept(), utf8("POST / H")).done, true);
  assertEquals(run(accept(), utf8("POST / ")).done, false);
});

test("a flipped bit anywhere is found by the checksum", () => {
  const header = summed(v2("21 11", v4Block, "04 00 02 00 00", "03 00 04 00 00 00 00"));
  for (let at = 16; at < header.length; at++) {
    const bad = header.slice();
    bad[at] ^= 1;
    // In the type of the checksum itself, it makes another TLV of it.
    if (at === header.length - 7) continue;
    proxyError(run(accept(), bad, { end: true }).error);
  }
});

test("CRC-32C has the values of RFC 3720 appendix B.4", () => {
  assertEquals(crc32c(utf8("123456789")), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(0)), 0);
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
  assertEquals(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assertEquals(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
});

test("version 1 is written as the specification shows it", () => {
  assertEquals(fromUtf8(format(1, v4)), "PROXY TCP4 192.0.2.1 198.51.100.2 40112 443\r\n");
  assertEquals(fromUtf8(format(1, v6)), "PROXY TCP6 2001:db8::1 2001:db8::2 40112 443\r\n");
  assertEquals(
    fromUtf8(format(1, { source: v4.source, destination: v6.destination })),
    "PROXY TCP6 ::ffff:c000:201 2001:db8::2 40112 443\r\n",
  );
  for (const client of [{}, { source: v4.source }, { destination: v4.destination }]) {
    assertEquals(fromUtf8(format(1, client)), "PROXY UNKNOWN\r\n");
  }
});

test("version 2 is written with its TLVs and a checksum", () => {
  const tlvs = hex("01 00 02 68 32 02 00 03 61 2e 62 05 00 01 07 03 00 04 00 00 00 00");
  assertEquals(
    toHex(format(2, { ...v4, alpn: "h2", serverName: "a.b", uniqueId: hex("07") })),
    toHex(summed(v2("21 11", v4Block, tlvs))),
  );
  assertEquals(toHex(format(2, v6)), toHex(summed(v2("21 21", v6Block, "03 00 04 00 00 00 00"))));
  assertEquals(toHex(format(2, {})), toHex(summed(v2("20 00", "03 00 04 00 00 00 00"))));
});

const anyEndpoint = (size: number) =>
  fc.record({
    hostname: fc.uint8Array({ minLength: size, maxLength: size })
      .filter((bytes) => size === 4 || bytes[0] !== 0).map(ipFromBytes),
    port: fc.nat(65535),
  });
const anyEnds = fc.oneof(
  ...[4, 16].map((size) => fc.record({ source: anyEndpoint(size), destination: anyEndpoint(size) })),
);

test("what is written is read as it was, at any cut", () => {
  const tlvs = fc.record({
    alpn: fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }),
    serverName: fc.domain(),
    uniqueId: fc.uint8Array({ minLength: 1, maxLength: 128 }),
  }, { requiredKeys: [] });
  fc.assert(fc.property(anyEnds, tlvs, fc.array(fc.nat(200)), (ends, extra, cuts) => {
    assertEquals(run(accept(), cutAt(format(1, ends), cuts)).result, ends);
    assertEquals(run(accept(), cutAt(format(2, { ...ends, ...extra }), cuts)).result, { ...ends, ...extra });
  }));
});

const damaged = fc.tuple(
  fc.constantFrom(...[...accepted, ...refused].map(([, bytes]) => bytes)),
  fc.array(fc.record({ at: fc.nat(60), cut: fc.nat(3), put: fc.uint8Array({ maxLength: 3 }) }), {
    maxLength: 3,
  }),
).map(([bytes, damages]) =>
  damages.reduce((all, { at, cut, put }) => concat(all.slice(0, at), put, all.slice(at + cut)), bytes)
);

test("whatever comes, in whatever pieces, the outcome is the same, and only one class of error", () => {
  const told = (arrivals: readonly Uint8Array[]) => {
    const { done, result, error, rest } = run(accept(), arrivals, { end: true });
    assertEquals(done, true);
    return { result, code: error === undefined ? undefined : proxyError(error).code, rest: toHex(rest) };
  };
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 60 })), fc.array(fc.nat(200)), (bytes, cuts) => {
      const whole = told([bytes]);
      assertEquals(told(cutAt(bytes, cuts)), whole);
      if (bytes.length < 300) assertEquals(told(pieces(bytes, 1)), whole);
    }),
    { numRuns: 1000 },
  );
});

test("the layer says whose connection it is, and gives up one that can't be told", async () => {
  const conn = new FakeConn();
  const server = { hostname: "192.0.2.9", port: 1 };
  assertEquals(await proxyProtocolLayer(1)(conn, server, { ...background, client: v4 }), conn);
  assertEquals(fromUtf8(conn.sent), "PROXY TCP4 192.0.2.1 198.51.100.2 40112 443\r\n");
  const nobody = new FakeConn();
  await proxyProtocolLayer(2)(nobody, server, background);
  assertEquals(nobody.sent[12], 0x20);
  const gone = new FakeConn();
  gone.writeError = new Error("gone");
  assertEquals(await rejectionOf(proxyProtocolLayer(2)(gone, server, background)), gone.writeError);
  assertEquals(gone.calls, ["abort"]);
});
