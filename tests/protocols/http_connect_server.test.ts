/**
 * The server's side of HTTP CONNECT: what is a tunnel, and how everything else is refused.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import type { ErrorCode } from "../../src/core/errors.ts";
import { concat, fromUtf8, utf8 } from "../support/bytes.ts";
import { proxyError } from "../support/errors.ts";
import { everyChunking, run } from "../support/handshake.ts";
import { acceptConnect, readAnswer } from "../support/http.ts";

const connect = (target: string, fields = "") => `CONNECT ${target} HTTP/1.1\r\n${fields}\r\n`;
const host = "Host: example.com:443\r\n";

const requests: [name: string, sent: string, hostname: string, port: number][] = [
  ["a name", connect("example.com:443", host), "example.com", 443],
  ["the lowest port", connect("a:1", host), "a", 1],
  ["the highest port", connect("a:65535", host), "a", 65535],
  ["an IPv4 address", connect("192.0.2.1:443", host), "192.0.2.1", 443],
  ["an IPv6 address", connect("[2001:DB8::1]:443", host), "2001:db8::1", 443],
  ["HTTP/1.0, without Host", "CONNECT a:443 HTTP/1.0\r\n\r\n", "a", 443],
  ["HTTP/1.1, without Host", connect("a:443"), "a", 443],
  ["a Host that says something else", connect("a:443", host), "a", 443],
  [
    "fields of all kinds",
    connect("a:443", `${host}User-Agent: x\r\nProxy-Connection: keep-alive\r\n`),
    "a",
    443,
  ],
  ["an empty line first", `\r\n${connect("a:443", host)}`, "a", 443],
  ["many empty lines first", `${"\r\n".repeat(9)}${connect("a:443", host)}`, "a", 443],
  ["credentials that nobody asked for", connect("a:443", "Proxy-Authorization: Basic eDp5\r\n"), "a", 443],
];
for (const [name, sent, hostname, port] of requests) {
  test(`CONNECT with ${name}, in any pieces, leaves what follows`, () => {
    for (const chunks of everyChunking(concat(sent, "payload"))) {
      const { result, writes, rest } = run(acceptConnect(null), chunks);
      assertEquals([result?.target, result?.user], [{ hostname, port }, undefined]);
      assertEquals([writes, fromUtf8(rest)], [[], "payload"]);
    }
    for (let length = 0; length < sent.length; length++) {
      const { error, writes } = run(acceptConnect(null), utf8(sent.slice(0, length)), { end: true });
      assertEquals([proxyError(error).code, writes], ["closed", []], `an end after ${length} bytes`);
    }
  });
}

test("success has no body and no length", () => {
  const { result } = run(acceptConnect(null), utf8(connect("a:443")));
  const answer = "HTTP/1.1 200 Connection established\r\n\r\n";
  assertEquals(fromUtf8(result!.accepted({ hostname: "127.0.0.1", port: 1 })), answer);
  assertEquals(fromUtf8(result!.accepted(null)), answer);
});

type Refusal = [name: string, sent: string, status: number, code: ErrorCode];
const targets = [
  "a",
  "a:",
  ":443",
  ":",
  "a:0",
  "a:00",
  "a:65536",
  "a:65979",
  "a:+443",
  "a:-1",
  "a:443/",
  "a:443/x",
]
  .concat([
    "/",
    "*",
    "u@a:443",
    "u:p@a:443",
    "http://a:443",
    "https://a:443/",
    "a:443?x",
    "a:443#x",
    "a:0x50",
  ])
  .concat([
    "[127.0.0.1]:443",
    "[fe80::1%25eth0]:443",
    "[fe80::1%eth0]:443",
    "fe80::1%eth0:443",
    "[::1]",
    "::1:443",
  ])
  .concat([
    "[]:443",
    "[a]:443",
    "a,b:443",
    "a:443,b:443",
    "a%00:443",
    "a%0d%0a:443",
    `${"a".repeat(256)}:443`,
  ])
  .concat(["a\\b:443", "a|b:443", '"a":443', "a:4 43", "a :443", " a:443", ""]);
const reasons: Record<number, string> = {
  400: "Bad Request",
  414: "URI Too Long",
  505: "HTTP Version Not Supported",
};
const refusals: Refusal[] = [
  ...targets.map((target): Refusal => [
    `the target ${JSON.stringify(target.slice(0, 40))}`,
    connect(target, host),
    400,
    /[ ]|^$/.test(target) ? "protocol" : "address",
  ]),
  ["no target", `CONNECT HTTP/1.1\r\n${host}\r\n`, 400, "protocol"],
  ["Content-Length", connect("a:443", `${host}Content-Length: 5\r\n`), 400, "protocol"],
  ["Content-Length of 0", connect("a:443", `${host}content-length: 0\r\n`), 400, "protocol"],
  ["Transfer-Encoding", connect("a:443", `${host}Transfer-Encoding: chunked\r\n`), 400, "protocol"],
  ["Content-Length that a bare LF hides", connect("a:443", `${host}Content-Length: 5\n`), 400, "protocol"],
  ["two Hosts", connect("a:443", host + host), 400, "protocol"],
  ["space before the colon", connect("a:443", "Host : a\r\n"), 400, "protocol"],
  ["an empty name", connect("a:443", ": a\r\n"), 400, "protocol"],
  ["NUL", connect("a:443", "Host: a\0\r\n"), 400, "protocol"],
  ["a bare CR", connect("a:443", "Host: a\rb: c\r\n"), 400, "protocol"],
  ["a bare LF", connect("a:443", "Host: a\nb: c\r\n"), 400, "protocol"],
  ["bare LFs alone", "CONNECT a:443 HTTP/1.1\nHost: a\n\n", 400, "protocol"],
  ["obs-fold", connect("a:443", "Host: a\r\n b\r\n"), 400, "protocol"],
  ["an empty line of LF first", `\n${connect("a:443", host)}`, 400, "protocol"],
  ["an empty line, then one of LF", "\r\n\n", 400, "protocol"],
  ["a bare CR first", `\r${connect("a:443", host)}`, 400, "protocol"],
  ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\n", 505, "protocol"],
  ["HTTP/0.9", "CONNECT a:443 HTTP/0.9\r\n\r\n", 505, "protocol"],
  ["a target beyond 8 KiB", connect(`${"a".repeat(9000)}:443`), 414, "protocol"],
];
for (const [name, sent, status, code] of refusals) {
  test(`${name}: one ${status}, whatever follows is left alone`, () => {
    for (const chunks of everyChunking(concat(sent, "GET / HTTP/1.1\r\n\r\n"), 9)) {
      const { error, result, writes, rest } = run(acceptConnect(null), chunks);
      assertEquals([result, writes.length, fromUtf8(rest)], [undefined, 1, "GET / HTTP/1.1\r\n\r\n"]);
      const answer = readAnswer(writes[0]);
      assertEquals([answer.status, answer.reason, answer.field("connection")], [
        status,
        reasons[status],
        "close",
      ]);
      assertEquals(answer.field("content-type"), "text/plain; charset=utf-8");
      assert(answer.body.length > 10 && answer.body.endsWith("\n"));
      assert(answer.body.length < 400, "a target is not repeated at any length");
      assertStringIncludes(answer.field("proxy-status")!, "hopline; error=http_request_error; details=");
      assertEquals([proxyError(error).code, proxyError(error).side], [code, "client"]);
    }
  });
}

const floods: [name: string, sent: string, expected?: readonly [status: number, reason: string]][] = [
  ["an endless request line", `CONNECT ${"a".repeat(70_000)}`, [414, "URI Too Long"]],
  ["empty lines, then an endless one", `\r\n\r\nGET ${"a".repeat(70_000)}`, [414, "URI Too Long"]],
  ["an endless field", connect("a:443", `A: ${"b".repeat(70_000)}`)],
  ["endless fields", connect("a:443", "A: b\r\n".repeat(12_000))],
  ["endless empty lines, then fields", "\r\n".repeat(5) + connect("a:443", "A: b\r\n".repeat(12_000))],
];
for (const [name, sent, expected = [431, "Request Header Fields Too Large"]] of floods) {
  test(`${name}: ${expected[0]}, without waiting for an end`, () => {
    for (const size of [70_000, 1000]) {
      const chunks = Array.from(
        { length: Math.ceil(70_000 / size) },
        (_, i) => utf8(sent.slice(i * size, (i + 1) * size)),
      );
      const { error, writes } = run(acceptConnect(null), chunks);
      const { status, reason } = readAnswer(writes[0]);
      assertEquals([writes.length, status, reason], [1, ...expected]);
      assertEquals(proxyError(error).code, "protocol");
    }
  });
}

test("a smaller limit holds too", () => {
  const { writes } = run(acceptConnect(null), utf8(connect("a:443", "A: b\r\n".repeat(20))), { budget: 100 });
  assertEquals(readAnswer(writes[0]).status, 431);
});

test("a target is answered in one line, whatever it holds", () => {
  const { writes } = run(acceptConnect(null), utf8(connect('a"\\;error=x:1')));
  const status = readAnswer(writes[0]).field("proxy-status")!;
  assert(/^hopline; error=http_request_error; details="(?:[^"\\]|\\["\\])*"$/.test(status), status);
});
