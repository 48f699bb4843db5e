/**
 * Addresses that are nobody's on the Internet, in every form that stands for them.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { test } from "node:test";
import { ipFromBytes, literalBytes } from "../../src/core/address.ts";
import { specialUse } from "../../src/routing/special_use.ts";

const kind = (address: string) => specialUse(literalBytes(address)!);

test("special-use IPv4 addresses, first and last of each block", () => {
  const special = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
  ];
  assertEquals(special.filter((address) => kind(address) === undefined), []);
  const others = [
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
  ];
  assertEquals(others.filter((address) => kind(address) !== undefined), []);
});

test("special-use IPv6 addresses", () => {
  const special = [
    "::",
    "::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "64:ff9b:1::8.8.8.8",
    "::ffff:0:8.8.8.8",
    "::808:808",
    "4000::1",
  ];
  assertEquals(special.filter((address) => kind(address) === undefined), []);
  const others = ["2606:4700::1111", "2001:4860:4860::8888", "2a00::1", "3ffe::1", "2400:cb00::1"];
  assertEquals(others.filter((address) => kind(address) !== undefined), []);
});

const octets = fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 255 })));
const hex = (a: number, b: number) => (a * 256 + b).toString(16);

test("a form that stands for an IPv4 address is what that address is", () => {
  const local = fc.constantFrom([127, 0, 0, 1], [10, 1, 2, 3], [169, 254, 169, 254], [192, 168, 0, 1], [
    8,
    8,
    8,
    8,
  ]);
  fc.assert(fc.property(fc.oneof(octets, local), ([a, b, c, d]) => {
    const expected = specialUse(Uint8Array.of(a, b, c, d));
    const [high, low] = [hex(a, b), hex(c, d)];
    for (
      const form of [
        `::ffff:${high}:${low}`,
        `64:ff9b::${high}:${low}`,
        `2002:${high}:${low}::1`,
        `2606:4700::5efe:${high}:${low}`,
        `2606:4700::200:5efe:${high}:${low}`,
      ]
    ) assertEquals(kind(form), expected, form);
  }));
});

test("what a library calls special is special here", () => {
  fc.assert(
    fc.property(octets, (bytes) => {
      const address = new ipaddr.IPv4(bytes);
      if (address.range() !== "unicast" && !["amt", "as112"].includes(address.range())) {
        assertEquals(specialUse(Uint8Array.from(bytes)) === undefined, false, address.toString());
      }
    }),
    { numRuns: 2000 },
  );
  const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(sixteen, fc.constantFrom(0x20, 0x2a, 0xfe, 0xfd, 0xff, 0), (bytes, first) => {
      bytes[0] = first;
      const address = ipaddr.IPv6.parse(ipFromBytes(bytes));
      if (!["unicast", "6to4", "rfc6052", "ipv4Mapped", "as112v6"].includes(address.range())) {
        assertEquals(specialUse(bytes) === undefined, false, address.toString());
      }
    }),
    { numRuns: 2000 },
  );
});
