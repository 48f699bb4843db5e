/**
 * The client's side of HTTP CONNECT: what it writes, and every answer that a proxy may give.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import type { ErrorCode } from "../../src/core/errors.ts";
import { connect } from "../../src/protocols/http_connect.ts";
import { concat, fromUtf8, utf8 } from "../support/bytes.ts";
import { proxyError } from "../support/errors.ts";
import { everyChunking, run } from "../support/handshake.ts";

const target = { hostname: "a.example", port: 443 };

const targets: [hostname: string, port: number, authority: string][] = [
  ["a.example", 443, "a.example:443"],
  ["192.0.2.1", 1, "192.0.2.1:1"],
  ["2001:db8:0::1", 65535, "[2001:db8::1]:65535"],
  ["bücher.example", 80, "xn--bcher-kva.example:80"],
];
for (const [hostname, port, authority] of targets) {
  test(`a tunnel to ${hostname} is asked for in one write`, () => {
    const { writes } = run(connect({ hostname, port }), utf8(""));
    assertEquals(writes.map(fromUtf8), [`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`]);
  });
}

const impossible: [hostname: string, port: number][] = [
  ["a\r\nX-Evil: b", 80],
  ["a HTTP/1.1\r\n\r\nGET / HTTP/1.1", 80],
  ["a\nb", 80],
  ["a\0", 80],
  ["a b", 80],
  ["u@a", 80],
  ["a:1", 80],
  ["", 80],
  ["a".repeat(256), 80],
  ["a", 0],
  ["a", 65536],
  ["a", 1.5],
];
for (const [hostname, port] of impossible) {
  test(`${JSON.stringify(hostname.slice(0, 40))}, port ${port} is never written`, () => {
    const { writes, error } = run(connect({ hostname, port }), utf8(""));
    assertEquals([writes, proxyError(error).code, proxyError(error).side], [[], "address", "local"]);
  });
}

const granted: [name: string, answer: string][] = [
  ["200", "HTTP/1.1 200 Connection established\r\n\r\n"],
  ["200 without a reason", "HTTP/1.1 200\r\n\r\n"],
  ["200 of HTTP/1.0", "HTTP/1.0 200 OK\r\nProxy-agent: x\r\n\r\n"],
  ["204", "HTTP/1.1 204 No Content\r\n\r\n"],
  ["299", "HTTP/1.1 299 x\r\n\r\n"],
  ["a Content-Length, which means nothing here", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"],
  ["a Transfer-Encoding, which means nothing here", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["100 first", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"],
  ["102 and 103 first", "HTTP/1.1 102 x\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"],
  ["fifteen 1xx first", `${"HTTP/1.1 100 x\r\n\r\n".repeat(15)}HTTP/1.1 200 OK\r\n\r\n`],
  ["bare LFs", "HTTP/1.0 200 OK\nProxy-agent: x\n\n"],
  ["a challenge that nobody needs", "HTTP/1.1 200 OK\r\nProxy-Authenticate: Basic\r\n\r\n"],
];
for (const [name, answer] of granted) {
  test(`${name}, in any pieces, is a tunnel and leaves its bytes`, () => {
    for (const chunks of everyChunking(concat(answer, "tunnel\r\n\r\n"))) {
      const { done, error, rest, writes } = run(connect(target), chunks);
      assertEquals([done, error, fromUtf8(rest), writes.length], [true, undefined, "tunnel\r\n\r\n", 1]);
    }
    for (let length = 0; length < answer.length; length++) {
      const { error } = run(connect(target), utf8(answer.slice(0, length)), { end: true });
      assertEquals(proxyError(error).code, "closed", `an end after ${length} bytes`);
    }
  });
}

type Refusal = [answer: string, code: ErrorCode, says: string];
const status = (line: string, fields = "") => `HTTP/1.1 ${line}\r\n${fields}\r\n`;
const told = (errors: string, line = "502 Bad Gateway") => status(line, `Proxy-Status: ${errors}\r\n`);
const refusals: Refusal[] = [
  [status("400 Bad Request"), "protocol", "answered 400 Bad Request"],
  [status("401 x"), "auth", "answered 401"],
  [status("403 Forbidden"), "denied", "answered 403 Forbidden"],
  [status("404 Not Found"), "failed", "answered 404"],
  [status("405 x"), "unsupported", "answered 405"],
  [status("429 x"), "limit", "answered 429"],
  [status("500 Unable to connect"), "failed", "answered 500 Unable to connect"],
  [status("501 x"), "unsupported", "answered 501"],
  [status("502"), "failed", "the proxy answered 502"],
  [status("503 Service Unavailable"), "unreachable", "answered 503"],
  [status("504 Gateway Timeout"), "timeout", "answered 504"],
  [status("508 x"), "loop", "answered 508"],
  [status("300 x"), "protocol", "answered 300"],
  [status("302 Found", "Location: http://login/\r\n"), "protocol", "answered 302 Found"],
  [status("101 Switching Protocols", "Upgrade: x\r\n"), "protocol", "answered 101"],
  [status("600 x"), "protocol", "answered 600"],
  [status("999 x"), "protocol", "answered 999"],
  [told("squid; error=connection_refused"), "refused", "answered 502"],
  [told("p; error=destination_ip_unroutable"), "unreachable", "answered 502"],
  [told("p; error=dns_error; rcode=NXDOMAIN"), "resolve", "answered 502"],
  [told("p; error=dns_timeout", "504 x"), "resolve", "answered 504"],
  [told("p; error=connection_timeout", "504 x"), "timeout", "answered 504"],
  [told("p; error=http_request_denied", "403 x"), "denied", "answered 403"],
  [told("p; error=destination_ip_prohibited", "403 x"), "denied", "answered 403"],
  [told("p; error=connection_limit_reached", "503 x"), "limit", "answered 503"],
  [told("p; error=proxy_loop_detected", "508 x"), "loop", "answered 508"],
  [told("p; error=something_new", "504 x"), "timeout", "answered 504"],
  [told('p;error=connection_refused;details="x"'), "refused", "answered 502"],
  [told('p; details="; error=dns_error"', "504 x"), "timeout", "answered 504"],
  [told('p; error=connection_refused; details="a \\"; error=dns_error"'), "refused", "answered 502"],
  [status("502 \x1b[31mred\x07"), "failed", "answered 502 \\x1b[31mred\\x07"],
  [status(`502 ${"x".repeat(5000)}`), "failed", `answered 502 ${"x".repeat(100)}`],
  ["SSH-2.0-OpenSSH_9.2\r\n\r\n", "protocol", 'expected an HTTP/1 status line, got "SSH-2.0-OpenSSH_9.2"'],
  ["\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "protocol", 'expected an HTTP/1 status line, got ""'],
  ["HTTP/2 200 OK\r\n\r\n", "protocol", "expected an HTTP/1 status line"],
  [status("200 OK", "A : b\r\n"), "protocol", '"A…" is not a header field'],
  [status("200 OK", "A: b\r\n c\r\n"), "protocol", "is not a header field"],
  ["HTTP/1.1 100 Continue\r\n\r\n".repeat(16), "protocol", "too many 1xx responses"],
];
for (const [answer, code, says] of refusals) {
  test(`${JSON.stringify(answer.slice(0, 60))} is no tunnel: ${code}`, () => {
    for (const chunks of everyChunking(concat(answer, "HTTP/1.1 200 OK\r\n\r\n"), 5)) {
      const { error, result, rest } = run(connect(target), chunks);
      const { side, stage, message } = proxyError(error);
      const where = code === "auth" ? "auth" : "request";
      // A status alone, 503 among them, may as well speak of the proxy.
      const told = ["refused", "resolve"].includes(code) || answer.includes("destination_ip_unroutable");
      const who = told ? "target" : "upstream";
      assertEquals([result, proxyError(error).code, side, stage], [undefined, code, who, where]);
      assertStringIncludes(message, says);
      assert(message.length < 200 && !/\p{Cc}/u.test(message), message);
      assert(fromUtf8(rest).endsWith("HTTP/1.1 200 OK\r\n\r\n"), "nothing further is parsed");
    }
  });
}

test("what is no HTTP is told by its first line, not waited out", () => {
  for (const greeting of ["SSH-2.0-OpenSSH\r\n", "220 mail.example ESMTP\r\n", "HTTX\n"]) {
    const { error } = run(connect(target), utf8(greeting));
    const { code, message } = proxyError(error);
    assertEquals(code, "protocol");
    assertEquals(message, `expected an HTTP/1 status line, got ${JSON.stringify(greeting.trimEnd())}`);
  }
  for (const beginning of ["H", "HTTP/", "HTTP/1.1 200 OK\r\n", "SSH-2.0"]) {
    assertEquals(run(connect(target), utf8(beginning)).done, false);
  }
});

test("an endless answer is given up at 64 KiB", () => {
  for (const flood of ["x".repeat(70_000), status("200 OK", "A: b\r\n".repeat(12_000))]) {
    const { error } = run(connect(target), utf8(flood));
    assertEquals([proxyError(error).code, proxyError(error).message.includes("answer to CONNECT")], [
      "protocol",
      true,
    ]);
  }
});
