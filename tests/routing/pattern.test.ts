/**
 * The targets that patterns name, in every spelling of both.
 *
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { AddressError } from "../../src/core/address.ts";
import { matchesPattern, parsePattern, placeOf } from "../../src/routing/pattern.ts";

const matches = (pattern: string, hostname: string, port = 443) =>
  matchesPattern(parsePattern(pattern), placeOf({ hostname, port }));

const rows: [pattern: string, yes: string[], no: string[]][] = [
  ["example.com", ["example.com", "EXAMPLE.com", "example.com."], ["www.example.com", "xexample.com", "com"]],
  ["Example.COM.", ["example.com"], ["example.org"]],
  ["*.corp.example", ["a.corp.example", "a.b.CORP.example."], [
    "corp.example",
    ".corp.example",
    "xcorp.example",
  ]],
  ["bücher.example", ["xn--bcher-kva.example"], ["bucher.example"]],
  ["*", ["example.com", "1.2.3.4", "::1"], []],
  ["10.0.0.0/8", ["10.1.2.3", "10.255.255.255", "::ffff:10.0.0.1", "0x0a.1", "167772161", "10.1."], [
    "11.0.0.0",
    "10.0.0.0.example",
    "2130706433",
  ]],
  ["10.1.2.3/8", ["10.0.0.0"], ["9.255.255.255"]],
  ["0.0.0.0/0", ["1.2.3.4", "::ffff:1.2.3.4"], ["::1", "name"]],
  ["::/0", ["::1", "2001:db8::1"], ["1.2.3.4", "::ffff:1.2.3.4"]],
  ["127.0.0.1", ["127.0.0.1", "127.1", "0x7f000001", "0177.0.0.1", "2130706433"], ["127.0.0.2", "localhost"]],
  ["0x7f.1", ["127.0.0.1"], ["0x7f.2"]],
  ["192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127"]],
  ["2001:db8::/33", ["2001:db8:7fff::1"], ["2001:db8:8000::1", "2001:db9::"]],
  ["2001:DB8::1", ["2001:db8:0:0::1"], ["2001:db8::2"]],
  ["[2001:db8::1]", ["2001:db8::1"], ["2001:db8::2"]],
  ["::ffff:10.0.0.0/104", ["10.1.2.3"], ["11.0.0.1"]],
  ["example.com:443", ["example.com"], ["www.example.com"]],
  ["*:25", [], ["example.com", "::1"]],
  ["*:400-500", ["example.com"], []],
  ["[2001:db8::/32]:443", ["2001:db8::1"], ["2001:db9::1"]],
  ["10.0.0.0/8:443-443", ["10.0.0.1"], ["11.0.0.1"]],
];

for (const [pattern, yes, no] of rows) {
  test(`${pattern} is for ${yes.join(", ") || "none of these"}`, () => {
    assertEquals(yes.filter((hostname) => !matches(pattern, hostname)), []);
    assertEquals(no.filter((hostname) => matches(pattern, hostname)), []);
  });
}

test("ports are within their range, both ends included", () => {
  const found = [1, 79, 80, 85, 90, 91, 65535].filter((port) => matches("*:80-90", "a", port));
  assertEquals(found, [80, 85, 90]);
  assert(matches("a:65535", "a", 65535));
});

for (
  const text of [
    "",
    ":80",
    "a b",
    "a:",
    "a:0",
    "a:65536",
    "a:90-80",
    "a:1-2-3",
    "a:x",
    "*a",
    "a.*",
    "*.*.a",
    "*.",
    "10.0.0.0/33",
    "10.0.0/8",
    "a/8",
    "[::1",
    "[a]",
    "[1.2.3.4",
    "::1/129",
    "fe80::1%eth0",
    "http://a",
    "a@b",
    ".",
  ]
) {
  test(`${JSON.stringify(text)} is no pattern`, () => {
    assertThrows(() => parsePattern(text), AddressError);
  });
}
