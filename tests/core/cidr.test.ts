/** Blocks of addresses: what they hold, and what is none. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { AddressError, ipFromBytes } from "../../src/core/address.ts";
import { cidrContains, parseCidr } from "../../src/core/cidr.ts";

const cases: [block: string, inside: string[], outside: string[]][] = [
  ["10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["11.0.0.0", "::", "a.example"]],
  ["10.1.2.3/8", ["10.200.0.1"], ["9.255.255.255"]],
  ["192.0.2.128/25", ["192.0.2.128", "192.0.2.255"], ["192.0.2.127"]],
  ["127.0.0.1", ["127.0.0.1", "::ffff:7f00:1"], ["127.0.0.2", "::1"]],
  ["0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "2001:db8::1"]],
  ["2001:db8::/32", ["2001:db8::", "2001:DB8:ffff::1"], ["2001:db9::", "10.0.0.1"]],
  ["::/0", ["::1", "ffff::"], ["127.0.0.1", "::ffff:127.0.0.1"]],
  ["::1", ["::1", "0:0::1"], ["::2", "127.0.0.1"]],
];

for (const [block, inside, outside] of cases) {
  test(`${block} holds what it should`, () => {
    const cidr = parseCidr(block);
    for (const address of inside) assertEquals(cidrContains(cidr, address), true, address);
    for (const address of outside) assertEquals(cidrContains(cidr, address), false, address);
  });
}

for (
  const text of [
    "",
    "/8",
    "10.0.0.0/",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0/8",
    "::/129",
    "a/8",
    "1.2.3.4/8/8",
  ]
    .concat("010.0.0.0/8", "fe80::1%eth0/64", "10.0.0.0/8 ", "10.0.0.0/255.0.0.0")
) {
  test(`${JSON.stringify(text)} is no block`, () => {
    assertThrows(() => parseCidr(text), AddressError);
  });
}

test("a block holds an address exactly when their first bits are the same", () => {
  const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
  const bits = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  fc.assert(fc.property(v4, v4, fc.nat(32), (block, address, prefix) => {
    const cidr = parseCidr(`${ipFromBytes(block)}/${prefix}`);
    const same = bits(block).slice(0, prefix) === bits(address).slice(0, prefix);
    assertEquals(cidrContains(cidr, ipFromBytes(address)), same);
  }));
});
