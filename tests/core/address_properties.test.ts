/**
 * Laws of the address parser.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import {
  AddressError,
  formatEndpoint,
  ipBytes,
  ipFromBytes,
  ipVersion,
  parseEndpoint,
  parseHostname,
} from "../../src/core/address.ts";

const anyAddress = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
);
const anyPort = fc.integer({ min: 1, max: 65535 });
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom(..."a.-_1:[]%@/ \0\r\n\u00fc\uff0f\u3002") }),
  fc.ipV6(),
  fc.domain(),
);

function outcome<T>(parse: () => T): T | "refused" {
  try {
    return parse();
  } catch (error) {
    if (error instanceof AddressError) return "refused";
    throw error;
  }
}

test("an address as bytes comes back, and its spelling is canonical", () => {
  fc.assert(fc.property(anyAddress, (bytes) => {
    const text = ipFromBytes(bytes);
    assertEquals(ipVersion(text), bytes.length === 4 ? 4 : 6);
    assertEquals(ipBytes(text), bytes);
    assertEquals(parseHostname(text), text);
  }));
});

test("every spelling of an IPv6 address comes to the same one", () => {
  fc.assert(fc.property(fc.ipV6(), (text) => {
    const parsed = parseHostname(text);
    assertEquals(ipBytes(parsed), ipBytes(text));
    assertEquals(parseHostname(text.toUpperCase()), parsed);
  }));
});

test("an endpoint written down is read back", () => {
  const anyHost = fc.oneof(fc.domain(), anyAddress.map(ipFromBytes));
  fc.assert(fc.property(anyHost, anyPort, (hostname, port) => {
    assertEquals(parseEndpoint(formatEndpoint({ hostname, port })), { hostname, port });
  }));
});

test("any text is a host that is safe to write anywhere, or an AddressError", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const parsed = outcome(() => parseHostname(text));
      if (parsed === "refused") return;
      assert(parsed.length >= 1 && parsed.length <= 255);
      assert(/^[A-Za-z0-9._-]+$/.test(parsed) || ipVersion(parsed) === 6, parsed);
      assertEquals(parseHostname(parsed), parsed);
    }),
    { numRuns: 1000 },
  );
});

test("any text is an endpoint that survives being written, or an AddressError", () => {
  const shaped = fc.tuple(anyText, fc.constantFrom(":", "]:", ""), fc.oneof(anyPort.map(String), anyText))
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(fc.oneof(anyText, shaped, shaped.map((text) => `[${text}`)), (text) => {
      const parsed = outcome(() => parseEndpoint(text));
      if (parsed === "refused") return;
      assert(parsed.port >= 1 && parsed.port <= 65535);
      assertEquals(parseEndpoint(formatEndpoint(parsed)), parsed);
    }),
    { numRuns: 1000 },
  );
});
