/**
 * The one error, and text that is safe to show.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { asProxyError, printable, ProxyError } from "../../src/core/errors.ts";

const facts = { code: "refused", side: "upstream", stage: "connect" } as const;

test("an error carries its facts and its cause", () => {
  const cause = new Error("ECONNREFUSED");
  const error = new ProxyError("connection refused", { ...facts, hop: 2, label: "exit", cause });
  const { name, message, code, side, stage, hop, label } = error;
  assertEquals({ name, message, code, side, stage, hop, label }, {
    name: "ProxyError",
    message: "connection refused",
    ...facts,
    hop: 2,
    label: "exit",
  });
  assertStrictEquals(error.cause, cause);
  assert(!("cause" in new ProxyError("x", facts)), "no cause where there is none");
});

test("an error is placed once", () => {
  const cause = new Error();
  const error = new ProxyError("x", { ...facts, cause });
  const placed = error.at(2, "exit");
  assertEquals([placed.hop, placed.label, placed.code, placed.side, placed.stage], [
    2,
    "exit",
    "refused",
    "upstream",
    "connect",
  ]);
  assertStrictEquals(placed.cause, cause);
  assertStrictEquals(placed.at(3, "other"), placed);
  const here = error.at(0, "hopline");
  assertStrictEquals(here.at(1, "first"), here, "0 is a place too");
});

test("another may be to blame for the same error", () => {
  const error = new ProxyError("x", { ...facts, cause: new Error() }).at(2, "exit").blame("target");
  assertEquals([error.side, error.hop, error.label, error.message], ["target", 2, "exit", "x"]);
  assert(error.cause instanceof Error);
});

test("anything thrown becomes a ProxyError, which stays itself", () => {
  const own = new ProxyError("x", facts);
  assertStrictEquals(asProxyError(own, { code: "failed", side: "local", stage: "relay" }), own);
  const thrown: [value: unknown, message: string][] = [
    [new TypeError("broken\n"), "broken\\x0a"],
    ["text", "text"],
    [undefined, "undefined"],
    [null, "null"],
  ];
  for (const [value, message] of thrown) {
    const error = asProxyError(value, facts);
    assertEquals([error.message, error.code], [message, "refused"]);
    assertStrictEquals(error.cause, value);
  }
});

const escapes: [given: string, shown: string][] = [
  ["plain text, ümlaut, 漢字, 🙂", "plain text, ümlaut, 漢字, 🙂"],
  ["\0\t\r\n\x1b[31m", "\\x00\\x09\\x0d\\x0a\\x1b[31m"],
  ["\x7f\x80\x9b\x9f\xa0", "\\x7f\\x80\\x9b\\x9f\xa0"],
  ["\u2028\u2029", "\\u2028\\u2029"],
  ["\u061c\u200e\u200f", "\\u061c\\u200e\\u200f"],
  ["\u202a\u202b\u202c\u202d\u202e", "\\u202a\\u202b\\u202c\\u202d\\u202e"],
  ["\u2066\u2067\u2068\u2069\ufeff", "\\u2066\\u2067\\u2068\\u2069\\ufeff"],
];
for (const [given, shown] of escapes) {
  test(`${JSON.stringify(shown)} is how it is shown`, () => assertEquals(printable(given), shown));
}

test("no message holds a control character, whatever was in it", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const { message } = new ProxyError(text, facts);
    assert(!/\p{Cc}|\p{Bidi_Control}|[\u2028\u2029\ufeff]/u.test(message), message);
    assertEquals(printable(message), message);
  }));
});
