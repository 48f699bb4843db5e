/**
 * Heads of HTTP/1 messages.
 *
 * @module
 */
import { assertEquals, assertInstanceOf, assertStringIncludes, assertThrows } from "@std/assert";
import { test } from "node:test";
import {
  type Field,
  fieldValues,
  formatHead,
  headEnd,
  HeadError,
  parseRequestHead,
  parseResponseHead,
} from "../../src/core/http_head.ts";
import { fromUtf8, utf8 } from "../support/bytes.ts";
import { thrownBy } from "../support/errors.ts";

const first = "CONNECT a:1 HTTP/1.1\r\n";

const ends: [head: string, end: number][] = [
  ["", -1],
  ["a\r\n", -1],
  ["a\r\n\r", -1],
  ["a\r\n\r\n", 5],
  ["a\r\n\r\nrest\r\n\r\n", 5],
  ["\r\n\r\nrest", 4],
  // Broken heads end too: they are answered rather than waited for.
  ["a\n\nrest", 3],
  ["a\r\n\nrest", 4],
  ["a\n\r\nrest", 4],
];
for (const [head, end] of ends) {
  test(`${JSON.stringify(head)} ends at ${end}, looked at whole or byte by byte`, () => {
    const bytes = utf8(head);
    assertEquals(headEnd(bytes, 0), end);
    let found = -1;
    for (let length = 1, looked = 0; length <= bytes.length && found < 0; looked = length++) {
      found = headEnd(bytes.subarray(0, length), looked);
    }
    assertEquals(found, end);
  });
}

test("a request's head", () => {
  const head = "GET http://a/?q=1 HTTP/1.0\r\nHost: a\r\nX-Y:  two words \t\r\nEMPTY:\r\nx-y:again\r\n\r\n";
  const { method, target, minor, fields } = parseRequestHead(utf8(head));
  assertEquals([method, target, minor], ["GET", "http://a/?q=1", 0]);
  assertEquals(fields, [["host", "a"], ["x-y", "two words"], ["empty", ""], ["x-y", "again"]]);
  assertEquals(fieldValues(fields, "x-y"), ["two words", "again"]);
  assertEquals(fieldValues(fields, "none"), []);
  assertEquals(parseRequestHead(utf8(`${first}\r\n`)), {
    method: "CONNECT",
    target: "a:1",
    minor: 1,
    fields: [],
  });
});

const badRequests: [name: string, head: string, status: number][] = [
  ["two Hosts", `${first}Host: a\r\nhost: a\r\n\r\n`, 400],
  ["space before the colon", `${first}Host : a\r\n\r\n`, 400],
  ["tab before the colon", `${first}Host\t: a\r\n\r\n`, 400],
  ["space before the name", `${first} Host: a\r\n\r\n`, 400],
  ["an empty name", `${first}: a\r\n\r\n`, 400],
  ["no colon", `${first}Host\r\n\r\n`, 400],
  ["obs-fold", `${first}A: b\r\n c\r\n\r\n`, 400],
  ["obs-fold with a tab", `${first}A: b\r\n\tc: d\r\n\r\n`, 400],
  ["NUL in a value", `${first}A: b\0c\r\n\r\n`, 400],
  ["NUL in a name", `${first}A\0: b\r\n\r\n`, 400],
  ["bare CR in a value", `${first}A: b\rc: d\r\n\r\n`, 400],
  ["bare CR at the end of a line", `${first}A: b\r\r\n\r\n`, 400],
  ["bare LF between fields", `${first}A: b\nC: d\r\n\r\n`, 400],
  ["bare LF at the end of the last field", `${first}Content-Length: 5\n\r\n`, 400],
  ["bare LF as the empty line", `${first}\n`, 400],
  ["bare LF everywhere", "CONNECT a:1 HTTP/1.1\n\n", 400],
  ["bare LF behind the request line", "CONNECT a:1 HTTP/1.1\nHost: a\r\n\r\n", 400],
  ["bare CR in the request line", "CONNECT a:1\r HTTP/1.1\r\n\r\n", 400],
  ["DEL in a value", `${first}A: \x7f\r\n\r\n`, 400],
  ["a name that is no token", `${first}A(b): c\r\n\r\n`, 400],
  ["two spaces in the request line", "CONNECT  a:1 HTTP/1.1\r\n\r\n", 400],
  ["a space at its end", "CONNECT a:1 HTTP/1.1 \r\n\r\n", 400],
  ["a space before it", " CONNECT a:1 HTTP/1.1\r\n\r\n", 400],
  ["no target", "CONNECT HTTP/1.1\r\n\r\n", 400],
  ["an empty target", "CONNECT  HTTP/1.1\r\n\r\n", 400],
  ["a tab in it", "CONNECT\ta:1 HTTP/1.1\r\n\r\n", 400],
  ["no version", "CONNECT a:1\r\n\r\n", 400],
  ["a small version", "CONNECT a:1 http/1.1\r\n\r\n", 400],
  ["two digits of minor", "CONNECT a:1 HTTP/1.10\r\n\r\n", 400],
  ["non-ASCII in the target", "CONNECT ü:1 HTTP/1.1\r\n\r\n", 400],
  ["an empty line first", `\r\n${first}\r\n`, 400],
  ["nothing", "", 400],
  ["no end", first, 400],
  ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\n", 505],
  ["HTTP/0.9", "GET / HTTP/0.9\r\n\r\n", 505],
  ["HTTP/3", "GET / HTTP/3\r\n\r\n", 505],
  ["a target beyond 8 KiB", `CONNECT ${"a".repeat(8193)} HTTP/1.1\r\n\r\n`, 414],
];
for (const [name, head, status] of badRequests) {
  test(`a request with ${name} is ${status}`, () => {
    const error = thrownBy(() => parseRequestHead(utf8(head)));
    assertInstanceOf(error, HeadError);
    assertEquals((error as HeadError).status, status);
  });
}

test("a target of 8 KiB is taken", () => {
  assertEquals(parseRequestHead(utf8(`GET /${"a".repeat(8191)} HTTP/1.1\r\n\r\n`)).target.length, 8192);
});

test("what was wrong is quoted, within bounds and printable", () => {
  const { message } = thrownBy(() =>
    parseRequestHead(utf8(`${first}${"é\x1b".repeat(9000)}\r\n\r\n`))
  ) as Error;
  assertStringIncludes(message, "is not a header field");
  assertEquals(message.length < 500 && !/\p{Cc}/u.test(message), true);
});

test("a response's head", () => {
  const { minor, status, reason, fields } = parseResponseHead(utf8("HTTP/1.0 200 OK then\r\nA: b\r\n\r\n"));
  assertEquals([minor, status, reason, fields], [0, 200, "OK then", [["a", "b"]]]);
  assertEquals(parseResponseHead(utf8("HTTP/1.1 204\r\n\r\n")).reason, "");
  assertEquals(parseResponseHead(utf8("HTTP/1.1 204 \r\n\r\n")).reason, "");
});

test("a response's lines may end in a bare LF", () => {
  for (
    const head of [
      "HTTP/1.1 200 OK\nA: b\n\n",
      "HTTP/1.1 200 OK\r\nA: b\n\r\n",
      "HTTP/1.1 200 OK\nA: b\r\n\n",
    ]
  ) {
    const { status, fields } = parseResponseHead(utf8(head));
    assertEquals([status, fields], [200, [["a", "b"]]]);
  }
});

const badResponses = [
  "",
  "\r\n\r\n",
  "garbage\r\n\r\n",
  "HTTP/2 200\r\n\r\n",
  "HTTP/1.1 20\r\n\r\n",
  "HTTP/1.1 2000\r\n\r\n",
]
  .concat(["HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1  200\r\n\r\n", "HTTP/1.1 200OK\r\n\r\n", "ICY 200 OK\r\n\r\n"])
  .concat([
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
  ])
  .concat(["HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "HTTP/1.1 200 O\rK\r\n\r\n", "HTTP/1.1 200 OK"]);
for (const head of badResponses) {
  test(`the response ${JSON.stringify(head)} is refused`, () => {
    assertThrows(() => parseResponseHead(utf8(head)), HeadError);
  });
}

test("a head is written with CRLF", () => {
  const head = formatHead("CONNECT a:1 HTTP/1.1", [["Host", "a:1"], ["X", ""]]);
  assertEquals(fromUtf8(head), "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nX: \r\n\r\n");
});

const splitting: [firstLine: string, fields: Field[]][] = [
  ["CONNECT a:1\r\nX: y HTTP/1.1", []],
  ["CONNECT a:1\n HTTP/1.1", []],
  ["CONNECT a:1\0 HTTP/1.1", []],
  ["GET / HTTP/1.1", [["A", "b\r\nC: secret"]]],
  ["GET / HTTP/1.1", [["A", "b\nC: secret"]]],
  ["GET / HTTP/1.1", [["A", "b\rC: secret"]]],
  ["GET / HTTP/1.1", [["A", "secret\0"]]],
  ["GET / HTTP/1.1", [["A: b\r\nC", "secret"]]],
  ["GET / HTTP/1.1", [["A b", "secret"]]],
  ["GET / HTTP/1.1", [["", "secret"]]],
];
for (const [firstLine, fields] of splitting) {
  test(`${JSON.stringify([firstLine, ...fields])} can't be written`, () => {
    const error = thrownBy(() => formatHead(firstLine, fields));
    assertInstanceOf(error, HeadError);
    assertEquals(String(error).includes("secret"), false, "a value may be a secret");
  });
}
