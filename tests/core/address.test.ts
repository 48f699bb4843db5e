/**
 * The one place where hosts and ports are parsed.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  AddressError,
  checkTarget,
  formatEndpoint,
  ipBytes,
  ipFromBytes,
  ipVersion,
  isLoopback,
  parseEndpoint,
  parseHostname,
  parsePort,
} from "../../src/core/address.ts";
import { hex } from "../support/bytes.ts";
import { proxyError, thrownBy } from "../support/errors.ts";

const long = "a".repeat(255);

const hosts: [given: string, parsed: string, version: 0 | 4 | 6][] = [
  ["example.com", "example.com", 0],
  ["EXAMPLE.com", "EXAMPLE.com", 0],
  ["example.com.", "example.com.", 0],
  ["_dmarc.example.com", "_dmarc.example.com", 0],
  ["localhost", "localhost", 0],
  [long, long, 0],
  // Spellings that only some resolvers take for addresses stay names; whoever resolves one checks the bytes it gets.
  ["2130706433", "2130706433", 0],
  ["0x7f.1", "0x7f.1", 0],
  ["127.1", "127.1", 0],
  ["127.0.0.01", "127.0.0.01", 0],
  ["1.2.3.4.", "1.2.3.4.", 0],
  ["256.1.1.1", "256.1.1.1", 0],
  ["127.0.0.1", "127.0.0.1", 4],
  ["0.0.0.0", "0.0.0.0", 4],
  ["255.255.255.255", "255.255.255.255", 4],
  ["::", "::", 6],
  ["::1", "::1", 6],
  ["0:0:0:0:0:0:0:1", "::1", 6],
  ["2001:DB8::0:1", "2001:db8::1", 6],
  ["::ffff:127.0.0.1", "::ffff:7f00:1", 6],
  ["::127.0.0.1", "::7f00:1", 6],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221", 6],
  // IDNA
  ["bücher.example", "xn--bcher-kva.example", 0],
  ["BÜCHER.example", "xn--bcher-kva.example", 0],
  ["faß.de", "xn--fa-hia.de", 0],
  ["a。b", "a.b", 0],
  [`é.${"a".repeat(247)}`, `xn--9ca.${"a".repeat(247)}`, 0],
  ["１２７.0.0.1", "127.0.0.1", 4],
  ["２１３０７０６４３３", "127.0.0.1", 4],
];
for (const [given, parsed, version] of hosts) {
  test(`the host ${given.slice(0, 40)} is ${parsed.slice(0, 40)}`, () => {
    assertEquals(parseHostname(given), parsed);
    assertEquals(ipVersion(parsed), version);
    assertEquals(parseHostname(parsed), parsed, "parsing is idempotent");
  });
}

const noHosts = [
  "",
  `${long}a`,
  "é".repeat(255),
  `é.${"a".repeat(248)}`,
  "a b",
  " a",
  "a ",
  "a\tb",
  "a\0",
  "a\r\nb",
  "a\x7f",
  "a\x80",
]
  .concat([
    "user@host",
    "a/b",
    "a\\b",
    "a:b",
    "a:1",
    "a%b",
    "%41",
    "a?b",
    "a#b",
    "a[b",
    "[::1]",
    "a|b",
    '"a"',
  ])
  .concat(["::1%eth0", "fe80::1%1", "1::2::3", "00001::", ":", ":::", "1.2.3.4:5", "::1.2.3"])
  .concat(["::ffff:0x7f.0.0.1", "::ffff:0177.0.0.1", "::1.2.3.256", "::1.2.3.4:5", "1:1.2.3.4"])
  .concat([".", "..", ".a", "a..", "a..b", "127.0.0.1..", "a。。", "。a"])
  .concat(["a／b", "a％b", "a：b", "a＠b", "\u00ad", "\ud800", "ü.255", "١٢٧.0.0.1", "a\u200db", "a\u2028b"]);
for (const text of noHosts) {
  test(`${JSON.stringify(text.slice(0, 40))} (${text.length}) is no host`, () => {
    assertThrows(() => parseHostname(text), AddressError);
  });
}

test("what was wrong with a host is quoted, within bounds", () => {
  assertStringIncludes(String(thrownBy(() => parseHostname("a\r\nb"))), '"a\\r\\nb" is not a host name');
  const { message } = thrownBy(() => parseEndpoint(`${"/".repeat(60_000)}:80`)) as Error;
  assert(message.length < 200, message.slice(0, 300));
});

const ports: [given: string, least: number, parsed: number | null][] = [
  ["1", 1, 1],
  ["443", 1, 443],
  ["65535", 1, 65535],
  ["0", 0, 0],
  ...[
    "0",
    "65536",
    "65616",
    "99999",
    "100000",
    "",
    " ",
    "+443",
    "-1",
    "4 43",
    " 443",
    "443 ",
    "0x50",
    "4e2",
    "４",
  ]
    .map((given): [string, number, null] => [given, 1, null]),
];
for (const [given, least, parsed] of ports) {
  test(`the port ${JSON.stringify(given)} from ${least} is ${parsed}`, () => {
    if (parsed === null) {
      assertThrows(() => parsePort(given, least), AddressError, `expected ${least} to 65535`);
    } else assertEquals(parsePort(given, least), parsed);
  });
}

const endpoints: [given: string, hostname: string, port: number][] = [
  ["example.com:443", "example.com", 443],
  ["127.0.0.1:1", "127.0.0.1", 1],
  ["[::1]:65535", "::1", 65535],
  ["[2001:DB8:0:0::1]:80", "2001:db8::1", 80],
];
for (const [given, hostname, port] of endpoints) {
  test(`${given} is a host and a port`, () => {
    assertEquals(parseEndpoint(given), { hostname, port });
    assertEquals(parseEndpoint(formatEndpoint({ hostname, port })), { hostname, port });
  });
}

const noEndpoints = [
  "",
  ":",
  ":80",
  "a",
  "a:",
  "a:0",
  "a:65536",
  "a:+443",
  "a:443/x",
  "a:443 ",
  "a: 443",
  "a:b:1",
]
  .concat([
    "::1:80",
    "::1",
    "[::1]",
    "[::1]:",
    "[::1]80",
    "[127.0.0.1]:80",
    "[a]:80",
    "[]:80",
    "[fe80::1%25eth0]:80",
  ])
  .concat(["u@a:80", "u:p@a:80", "http://a:80", "a:80\n", "a\n:80", "[::1]\n:80", "[[::1]]:80", "x[::1]:80"]);
for (const text of noEndpoints) {
  test(`${JSON.stringify(text)} is no host:port`, () => {
    assertThrows(() => parseEndpoint(text), AddressError);
  });
}

test("a default stands in for a missing port, not for an empty one", () => {
  assertEquals(parseEndpoint("a", { defaultPort: 80 }), { hostname: "a", port: 80 });
  assertEquals(parseEndpoint("[::1]", { defaultPort: 80 }), { hostname: "::1", port: 80 });
  assertThrows(() => parseEndpoint("a:", { defaultPort: 80 }), AddressError);
  assertEquals(parseEndpoint("a:0", { least: 0 }), { hostname: "a", port: 0 });
});

const addressBytes: [address: string, bytes: string][] = [
  ["127.0.0.1", "7f 00 00 01"],
  ["::1", "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01"],
  ["2001:db8::1", "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01"],
  ["::ffff:7f00:1", "00 00 00 00 00 00 00 00 00 00 ff ff 7f 00 00 01"],
];
for (const [address, bytes] of addressBytes) {
  test(`${address} as bytes and back`, () => {
    assertEquals(ipBytes(address), hex(bytes));
    assertEquals(ipFromBytes(hex(bytes)), address);
  });
}

const loopback: [hostname: string, is: boolean][] = [
  ["127.0.0.1", true],
  ["127.255.255.254", true],
  ["::1", true],
  ["::ffff:127.0.0.1", true],
  ["::ffff:7f00:1", true],
  ["localhost", true],
  ["LocalHost.", true],
  ["128.0.0.1", false],
  ["0.0.0.0", false],
  ["::", false],
  ["::2", false],
  ["::ffff:10.0.0.1", false],
  ["localhost.example", false],
];
for (const [hostname, is] of loopback) {
  test(`${hostname} is ${is ? "" : "not "}loopback`, () => assertEquals(isLoopback(hostname), is));
}

test("a program's target is checked before it goes to a hop", () => {
  assertEquals(checkTarget({ hostname: "Bücher.example", port: 1 }), {
    hostname: "xn--bcher-kva.example",
    port: 1,
  });
  for (const hostname of ["", "a\r\nX: y", "a\0", "a b", `${long}a`, "u@a"]) {
    const { code, side } = proxyError(thrownBy(() => checkTarget({ hostname, port: 80 })));
    assertEquals([code, side], ["address", "local"], hostname);
  }
  for (const port of [0, -1, 65536, 65616, 80.5, NaN, Infinity]) {
    assertEquals(proxyError(thrownBy(() => checkTarget({ hostname: "a", port }))).code, "address", `${port}`);
  }
});
