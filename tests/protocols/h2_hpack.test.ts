/**
 * HPACK by the examples of RFC 7541 appendix C, and by what it has to refuse.
 *
 * @module
 */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { encodeFields, HpackDecoder, HpackError } from "../../src/protocols/h2_hpack.ts";
import { hex } from "../support/bytes.ts";

const plenty = 65_536;
const www = [[":method", "GET"], [":scheme", "http"], [":path", "/"], [":authority", "www.example.com"]] as [
  string,
  string,
][];

for (
  const [name, ...blocks] of [
    [
      "C.3, without the Huffman code",
      "828684410f7777772e6578616d706c652e636f6d",
      "828684be58086e6f2d6361636865",
      "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ],
    [
      "C.4, with it",
      "828684418cf1e3c2e5f23a6ba0ab90f4ff",
      "828684be5886a8eb10649cbf",
      "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ],
  ]
) {
  test(`requests of RFC 7541 ${name}`, () => {
    const decoder = new HpackDecoder();
    const [first, second, third] = blocks.map((block) => decoder.decode(hex(block), plenty));
    assertEquals(first, www);
    assertEquals(second, [...www, ["cache-control", "no-cache"]]);
    assertEquals(third, [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/index.html"],
      [":authority", "www.example.com"],
      ["custom-key", "custom-value"],
    ]);
  });
}

test("the table forgets what its size has no room for", () => {
  const decoder = new HpackDecoder();
  decoder.decode(hex("3f 31 40 01 61 01 62 40 01 63 01 64"), plenty); // a size of 80: two entries of 34
  assertEquals(decoder.decode(hex("be bf"), plenty), [["c", "d"], ["a", "b"]]);
  decoder.decode(hex("40 01 65 01 66"), plenty);
  assertEquals(decoder.decode(hex("be bf"), plenty), [["e", "f"], ["c", "d"]]);
  assertThrows(() => decoder.decode(hex("c0"), plenty), HpackError);
});

for (
  const [what, block] of [
    ["index 0", "80"],
    ["an index beyond the table", "be"],
    ["a string longer than its block", "0003 61"],
    ["an end within an integer", "ff"],
    ["an integer without end", "ff ff ff ff ff ff ff"],
    ["a table larger than allowed", "3f e2 1f"],
    ["a change of size behind a field", "82 20"],
    ["the end of a string within the Huffman code", "00 84 ff ff ff ff 00"],
    ["padding of zeros", "00 81 00 00"],
    ["padding of a whole byte", "00 82 1f ff 00"],
  ]
) {
  test(`${what} is refused`, () =>
    void assertThrows(() => new HpackDecoder().decode(hex(block), plenty), HpackError));
}

test("fields that weigh too much are not kept, and the table stays in step", () => {
  const decoder = new HpackDecoder();
  assertEquals(decoder.decode(hex("40 01 61 01 62 82"), 60), null);
  assertEquals(decoder.decode(hex("be"), 60), [["a", "b"]]);
});

test("what is encoded is decoded", () => {
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 300,
  });
  const names = fc.oneof(
    text,
    fc.constantFrom(":status", ":authority", "proxy-authorization", "content-type"),
  );
  fc.assert(fc.property(fc.array(fc.tuple(names, text), { maxLength: 20 }), (fields) => {
    assertEquals(new HpackDecoder().decode(encodeFields(fields), 1 << 20), fields);
  }));
});

test("credentials are never to be indexed, by whoever passes them on (RFC 7541 section 6.2.3)", () => {
  const bytes = encodeFields([["proxy-authorization", "x"], ["accept", "x"]]);
  assertEquals([...bytes], [0x20, 0x1f, 49 - 15, 1, 0x78, 0x0f, 19 - 15, 1, 0x78]);
});

test("an arbitrary block is decoded or refused", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (block) => {
    try {
      new HpackDecoder().decode(block, plenty);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
    }
  }));
});
