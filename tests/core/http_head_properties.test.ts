/**
 * Laws of the parser of heads.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import {
  type Field,
  formatHead,
  headEnd,
  HeadError,
  parseRequestHead,
  parseResponseHead,
} from "../../src/core/http_head.ts";
import { concat, utf8 } from "../support/bytes.ts";

const tokenCharacters = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const token = fc.string({ unit: fc.constantFrom(...tokenCharacters), minLength: 1, maxLength: 12 });
const visible = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
  minLength: 1,
});
const value = fc.array(visible, { maxLength: 4 }).map((words) => words.join(" "));
const anyFields = fc.array(fc.tuple(token.filter((name) => name.toLowerCase() !== "host"), value), {
  maxLength: 6,
});
/** Bytes that come close to a head, and bytes that don't. */
const anyHead = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.array(
    fc.constantFrom(
      "CONNECT ",
      "GET ",
      "HTTP/1.1",
      "HTTP/1.1 200 OK",
      " ",
      "a:1",
      "\r\n",
      "\n",
      "\r",
      "\0",
      "A: b",
      ":",
    )
      .map(utf8),
    { maxLength: 12 },
  ).map((parts) => concat(...parts, "\r\n\r\n")),
);

const lower = (fields: readonly Field[]) => fields.map(([name, value]) => [name.toLowerCase(), value]);

test("a request that was written is read back", () => {
  fc.assert(fc.property(token, visible, fc.constantFrom(0, 1), anyFields, (method, target, minor, fields) => {
    const bytes = formatHead(`${method} ${target} HTTP/1.${minor}`, fields);
    assertEquals(headEnd(bytes, 0), bytes.length);
    assertEquals(parseRequestHead(bytes), {
      method,
      target,
      minor,
      fields: lower(fields) as unknown as Field[],
    });
  }));
});

test("a response that was written is read back", () => {
  fc.assert(fc.property(fc.integer({ min: 100, max: 999 }), value, anyFields, (status, reason, fields) => {
    const bytes = formatHead(`HTTP/1.1 ${status} ${reason}`, fields);
    assertEquals(parseResponseHead(bytes), {
      minor: 1,
      status,
      reason,
      fields: lower(fields) as unknown as Field[],
    });
  }));
});

test("any bytes are a head or a HeadError", () => {
  fc.assert(
    fc.property(anyHead, (bytes) => {
      for (const parse of [parseRequestHead, parseResponseHead]) {
        try {
          const { fields } = parse(bytes);
          for (const [name, value] of fields) {
            assert(name !== "" && !/[\0\r\n]/.test(name + value), JSON.stringify([name, value]));
          }
        } catch (error) {
          if (!(error instanceof HeadError)) throw error;
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test("the end of a head is the same, however it arrives", () => {
  fc.assert(
    fc.property(anyHead, (bytes) => {
      const end = headEnd(bytes, 0);
      let found = -1;
      for (let length = 1, looked = 0; length <= bytes.length && found < 0; looked = length++) {
        found = headEnd(bytes.subarray(0, length), looked);
      }
      assertEquals(found, end);
    }),
    { numRuns: 1000 },
  );
});

test("a value full of blanks takes no longer than its length deserves", () => {
  const blanks = (n: number) => utf8(`GET / HTTP/1.1\r\nA: x${" ".repeat(n)}y\r\n\r\n`);
  const started = performance.now();
  for (let i = 0; i < 20; i++) parseRequestHead(blanks(60_000));
  // Quadratic time would be a minute.
  assert(performance.now() - started < 10_000);
});
