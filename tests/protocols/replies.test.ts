/**
 * What clients see when a tunnel fails, for each cause and protocol (interface.md, section 4), and what of it is left
 * when a hop's answer crosses into another protocol.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { type ErrorCode, ProxyError } from "../../src/core/errors.ts";
import type { Handshake } from "../../src/core/handshake.ts";
import type { TunnelRequest } from "../../src/core/serve.ts";
import * as http from "../../src/protocols/http_connect.ts";
import { httpProxy } from "../../src/protocols/http_proxy.ts";
import * as socks4 from "../../src/protocols/socks4.ts";
import * as socks5 from "../../src/protocols/socks5.ts";
import { concat, hex, toHex, utf8 } from "../support/bytes.ts";
import { proxyError } from "../support/errors.ts";
import { errorCodes, tunnelFailure } from "../support/gates.ts";
import { answered, converse, run } from "../support/handshake.ts";
import { acceptConnect, readAnswer } from "../support/http.ts";

const requests = {
  socks5: run(socks5.accept(null), hex("05 01 00 05 01 00 01 7f 00 00 01 00 50")).result!,
  socks4: run(socks4.accept(null), hex("04 01 00 50 7f 00 00 01 00")).result!,
  http: run(acceptConnect(null), utf8("CONNECT a:80 HTTP/1.1\r\n\r\n")).result!,
};

/** The contract. */
const table: Record<ErrorCode, [socks5: number, socks4: number, http: number, type: string]> = {
  refused: [5, 91, 502, "connection_refused"],
  netUnreachable: [3, 91, 502, "destination_ip_unroutable"],
  unreachable: [4, 91, 502, "destination_ip_unroutable"],
  resolve: [4, 91, 502, "dns_error"],
  timeout: [6, 91, 504, "connection_timeout"],
  denied: [2, 91, 403, "http_request_denied"],
  limit: [2, 91, 503, "connection_limit_reached"],
  loop: [2, 91, 508, "proxy_loop_detected"],
  unsupported: [7, 91, 501, "http_request_error"],
  address: [8, 91, 400, "http_request_error"],
  auth: [1, 91, 502, "proxy_configuration_error"],
  protocol: [1, 91, 502, "http_protocol_error"],
  tls: [1, 91, 502, "tls_protocol_error"],
  closed: [1, 91, 502, "connection_terminated"],
  failed: [1, 91, 502, "destination_unavailable"],
};
const reasons: Record<number, string> = {
  400: "Bad Request",
  403: "Forbidden",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  508: "Loop Detected",
};
for (const code of errorCodes) {
  const [rep, cd, status, type] = table[code];
  test(`${code}: SOCKS5 ${rep}, SOCKS4 ${cd}, HTTP ${status} ${type}`, () => {
    const error = tunnelFailure(code);
    const pair = (n: number) => n.toString(16).padStart(2, "0");
    assertEquals(toHex(requests.socks5.refused(error)), `05 ${pair(rep)} 00 01 00 00 00 00 00 00`);
    assertEquals(toHex(requests.socks4.refused(error)), `00 ${pair(cd)} 00 00 00 00 00 00`);
    const answer = readAnswer(requests.http.refused(error));
    assertEquals([answer.status, answer.reason, answer.body], [
      status,
      reasons[status],
      "connect: it failed\n",
    ]);
    assertEquals(answer.field("proxy-status"), `hopline; error=${type}; details="connect: it failed"`);
    assertEquals(answer.field("connection"), "close");
  });
}

test("an HTTP refusal, byte for byte", () => {
  const error = new ProxyError("connection refused: 192.0.2.1:443", {
    code: "refused",
    side: "upstream",
    stage: "connect",
    hop: 2,
    label: "exit (socks5+tls relay.example.net:443)",
  });
  const said = "hop 2, exit (socks5+tls relay.example.net:443), connect: connection refused: 192.0.2.1:443";
  assertEquals(
    new TextDecoder().decode(requests.http.refused(error)),
    "HTTP/1.1 502 Bad Gateway\r\n" +
      "Content-Type: text/plain; charset=utf-8\r\n" +
      `Content-Length: ${said.length + 1}\r\n` +
      "Connection: close\r\n" +
      `Proxy-Status: hopline; error=connection_refused; details="${said}"\r\n` +
      `\r\n${said}\n`,
  );
});

test("hop 0 is Hopline itself and is not named", () => {
  const error = tunnelFailure("limit").at(0, "hopline");
  assertEquals(readAnswer(requests.http.refused(error)).body, "connect: it failed\n");
});

test("no message of an error can split a response or leave its string", () => {
  const evil = tunnelFailure("failed", 'a\r\nX-Evil: 1\r\n\r\n<b>"\\; error=dns_error, ü\u2028\0').at(
    1,
    'exit"\\',
  );
  const { fields, field } = readAnswer(requests.http.refused(evil));
  assertEquals(fields.map(([name]) => name), [
    "content-type",
    "content-length",
    "connection",
    "proxy-status",
  ]);
  const details =
    /^hopline; error=destination_unavailable; details=("(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*")$/;
  assertEquals(details.test(field("proxy-status")!), true, field("proxy-status"));
});

const unwelcome = {
  socks5: "05 ff",
  socks4: "00 5b 00 00 00 00 00 00",
};
test("a protocol that a listener does not speak is refused in that protocol", () => {
  assertEquals(toHex(socks5.socks5.unwelcome("why")), unwelcome.socks5);
  assertEquals(toHex(socks4.socks4.unwelcome("why")), unwelcome.socks4);
  const { status, body, field } = readAnswer(httpProxy.unwelcome("HTTP is not spoken here"));
  assertEquals([status, body, field("connection")], [400, "HTTP is not spoken here\n", "close"]);
});

// --- crossing ---------------------------------------------------------------------------------------------------

type Connect = (target: { hostname: string; port: number }) => Handshake<void>;
type Accept = (gate: null) => Handshake<TunnelRequest>;
const protocols: Record<string, { connect: Connect; accept: Accept }> = {
  socks5,
  socks4,
  http: { connect: http.connect, accept: acceptConnect },
};

/** What a client learns when the server that it asked could not make the tunnel. */
function learnt(name: string, code: ErrorCode): ErrorCode {
  const { connect, accept } = protocols[name];
  const server = answered(accept(null), (request) => request.refused(tunnelFailure(code)));
  return proxyError(converse(connect({ hostname: "a", port: 80 }), server, 3).client.error).code;
}

/** What survives a hop of each protocol; `failed` where its answers know no more. */
const survivors: Record<ErrorCode, [socks5: ErrorCode, http: ErrorCode]> = {
  refused: ["refused", "refused"],
  netUnreachable: ["netUnreachable", "unreachable"],
  unreachable: ["unreachable", "unreachable"],
  resolve: ["unreachable", "resolve"],
  timeout: ["timeout", "timeout"],
  denied: ["denied", "denied"],
  limit: ["denied", "limit"],
  loop: ["denied", "loop"],
  unsupported: ["unsupported", "unsupported"],
  address: ["address", "protocol"],
  auth: ["failed", "failed"],
  protocol: ["failed", "failed"],
  tls: ["failed", "failed"],
  closed: ["failed", "failed"],
  failed: ["failed", "failed"],
};
for (const code of errorCodes) {
  const [viaSocks5, viaHttp] = survivors[code];
  test(`${code} at a hop is ${viaSocks5} through SOCKS5 and ${viaHttp} through HTTP`, () => {
    assertEquals([learnt("socks5", code), learnt("http", code)], [viaSocks5, viaHttp]);
    assertEquals(learnt("socks4", code), "failed");
  });
}

const crossings: [name: string, error: () => unknown, rep: number, status: number, type: string][] = [
  ["SOCKS5 reply 2", () => socks5Reply(2), 2, 403, "http_request_denied"],
  ["SOCKS5 reply 3", () => socks5Reply(3), 3, 502, "destination_ip_unroutable"],
  ["SOCKS5 reply 4", () => socks5Reply(4), 4, 502, "destination_ip_unroutable"],
  ["SOCKS5 reply 5", () => socks5Reply(5), 5, 502, "connection_refused"],
  ["SOCKS5 reply 6", () => socks5Reply(6), 6, 504, "connection_timeout"],
  ["SOCKS5 reply 7", () => socks5Reply(7), 7, 501, "http_request_error"],
  ["SOCKS5 reply 8", () => socks5Reply(8), 8, 400, "http_request_error"],
  ["SOCKS5 method 255", () => socks5Says(hex("05 ff")), 1, 502, "proxy_configuration_error"],
  ["SOCKS4 reply 91", () => socks4Reply(91), 1, 502, "destination_unavailable"],
  ["SOCKS4 reply 93", () => socks4Reply(93), 1, 502, "proxy_configuration_error"],
  ["HTTP 403", () => httpStatus("403 x"), 2, 403, "http_request_denied"],
  ["HTTP 407", () => httpStatus("407 x"), 1, 502, "proxy_configuration_error"],
  ["HTTP 502", () => httpStatus("502 x"), 1, 502, "destination_unavailable"],
  ["HTTP 503", () => httpStatus("503 x"), 4, 502, "destination_ip_unroutable"],
  ["HTTP 504", () => httpStatus("504 x"), 6, 504, "connection_timeout"],
  ["garbage instead of SOCKS", () => socks5Says(utf8("HTTP")), 1, 502, "http_protocol_error"],
];
for (const [name, error, rep, status, type] of crossings) {
  test(`${name} from a hop reaches SOCKS5 clients as ${rep}, HTTP clients as ${status} ${type}`, () => {
    const failure = proxyError(error()).at(1, "exit");
    assertEquals(requests.socks5.refused(failure)[1], rep);
    const answer = readAnswer(requests.http.refused(failure));
    assertEquals(answer.status, status);
    assertStringIncludes(answer.field("proxy-status")!, `error=${type}; details="hop 1, exit, `);
  });
}

function socks5Reply(code: number): unknown {
  return socks5Says(concat(hex("05 00 05"), Uint8Array.of(code), hex("00 01 00 00 00 00 00 00")));
}

function socks5Says(bytes: Uint8Array): unknown {
  return run(socks5.connect({ hostname: "a", port: 1 }), bytes).error;
}

function socks4Reply(code: number): unknown {
  return run(socks4.connect({ hostname: "a", port: 1 }), Uint8Array.of(0, code, 0, 0, 0, 0, 0, 0)).error;
}

function httpStatus(line: string): unknown {
  return run(http.connect({ hostname: "a", port: 1 }), utf8(`HTTP/1.1 ${line}\r\n\r\n`)).error;
}
