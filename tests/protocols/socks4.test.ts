/**
 * SOCKS4 and 4a, both sides.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import type { ErrorCode } from "../../src/core/errors.ts";
import { accept, connect } from "../../src/protocols/socks4.ts";
import { concat, fromUtf8, hex, toHex, utf8 } from "../support/bytes.ts";
import { proxyError } from "../support/errors.ts";
import { gateFor } from "../support/gates.ts";
import { everyChunking, run } from "../support/handshake.ts";

const rejected = "00 5b 00 00 00 00 00 00";

function message(
  {
    command = 1,
    port = 443,
    ip = "00 00 00 01",
    user = "" as string | Uint8Array,
    host = "" as string | Uint8Array,
  },
): Uint8Array {
  const head = concat(Uint8Array.of(4, command, port >> 8, port & 255), hex(ip), user, "\0");
  return host.length === 0 ? head : concat(head, host, "\0");
}

const h255 = "h".repeat(255);
const requests: [name: string, sent: Uint8Array, hostname: string, port: number][] = [
  ["an address", message({ ip: "c0 00 02 01" }), "192.0.2.1", 443],
  ["a user id", message({ ip: "c0 00 02 01", user: "alice", port: 1 }), "192.0.2.1", 1],
  ["a user id of 512 bytes", message({ ip: "7f 00 00 01", user: "u".repeat(512) }), "127.0.0.1", 443],
  ["a user id of any bytes", message({ ip: "7f 00 00 01", user: hex("ff fe 80") }), "127.0.0.1", 443],
  ["a name", message({ host: "example.com", port: 65535 }), "example.com", 65535],
  ["a name and a user id", message({ ip: "00 00 00 ff", user: "alice", host: "a" }), "a", 443],
  ["a name of 255 bytes", message({ host: h255 }), h255, 443],
  ["an IPv4 literal as a name", message({ host: "127.0.0.1" }), "127.0.0.1", 443],
  ["an IPv6 literal as a name", message({ host: "2001:DB8::1" }), "2001:db8::1", 443],
  ["a name with umlauts", message({ host: "bücher.example" }), "xn--bcher-kva.example", 443],
  ["0.0.1.0, which is no 4a", message({ ip: "00 00 01 00" }), "0.0.1.0", 443],
];
for (const [name, sent, hostname, port] of requests) {
  test(`a request with ${name}, in any pieces, leaves what follows`, () => {
    for (const chunks of everyChunking(concat(sent, "payload"), 40)) {
      const { result, writes, rest } = run(accept(null), chunks);
      assertEquals([result?.target, result?.user], [{ hostname, port }, undefined]);
      assertEquals([writes, fromUtf8(rest)], [[], "payload"]);
    }
    for (let length = 0; length < sent.length; length++) {
      const { error, writes } = run(accept(null), sent.slice(0, length), { end: true });
      assertEquals([proxyError(error).code, writes], ["closed", []], `an end after ${length} bytes`);
    }
  });
}

const refusals: [name: string, sent: Uint8Array, code: ErrorCode][] = [
  ["0.0.0.0", message({ ip: "00 00 00 00" }), "address"],
  ["port 0", message({ ip: "7f 00 00 01", port: 0 }), "address"],
  ["port 0 of a name", message({ host: "a", port: 0 }), "address"],
  ["BIND", message({ command: 2, ip: "7f 00 00 01" }), "unsupported"],
  ["command 0", message({ command: 0, ip: "7f 00 00 01" }), "unsupported"],
  ["an empty name", concat(message({}), "\0"), "address"],
  ...["a b", "a\r\nb", "u@a", "a/b", "a:1", "a%41", "[::1]", "::1%eth0"].map((
    host,
  ): [string, Uint8Array, ErrorCode] => [
    `the name ${JSON.stringify(host)}`,
    message({ host }),
    "address",
  ]),
  ["a name that is no UTF-8", message({ host: hex("62 fc 63") }), "address"],
  ["another version", hex("05 01 00 50 7f 00 00 01"), "protocol"],
];
for (const [name, sent, code] of refusals) {
  test(`${name}: rejected in eight bytes, whatever follows is left alone`, () => {
    for (const chunks of everyChunking(concat(sent, "payload"))) {
      const { error, writes, rest } = run(accept(null), chunks);
      assertEquals([writes.map(toHex), fromUtf8(rest)], [[rejected], "payload"]);
      assertEquals([proxyError(error).code, proxyError(error).side], [code, "client"]);
    }
  });
}

const tooLong: [name: string, sent: Uint8Array][] = [
  ["a user id of 513 bytes", concat(hex("04 01 00 50 7f 00 00 01"), "u".repeat(513))],
  ["a host of 256 bytes", concat(hex("04 01 00 50 00 00 00 01 00"), "h".repeat(256))],
];
for (const [name, sent] of tooLong) {
  test(`${name} is rejected without waiting for its NUL`, () => {
    for (const chunks of everyChunking(sent, 3)) {
      const { error, writes } = run(accept(null), chunks);
      assertEquals([writes.map(toHex), proxyError(error).code], [[rejected], "protocol"]);
    }
    assertEquals(run(accept(null), sent.slice(0, -1)).done, false, "one byte less may still end");
  });
}

test("where there are users, SOCKS4 is refused with 93 before anything else is read", () => {
  const gate = gateFor("alice", "secret");
  for (const chunks of everyChunking(concat(message({ ip: "7f 00 00 01", user: "alice" }), "payload"))) {
    const { error, writes, rest } = run(accept(gate), chunks);
    assertEquals(writes.map(toHex), ["00 5d 00 00 00 00 00 00"]);
    assertEquals([proxyError(error).code, proxyError(error).stage], ["auth", "auth"]);
    assertEquals(fromUtf8(rest), "alice\0payload");
  }
  assertEquals(gate.knocks, []);
});

test("success tells our own IPv4 address, where there is one", () => {
  const { result } = run(accept(null), message({ host: "a" }));
  const bounds: [hostname: string, reply: string][] = [
    ["127.0.0.1", "00 5a 9c 40 7f 00 00 01"],
    ["::1", "00 5a 00 00 00 00 00 00"],
    ["a.name", "00 5a 00 00 00 00 00 00"],
  ];
  for (const [hostname, reply] of bounds) {
    assertEquals(toHex(result!.accepted({ hostname, port: 40000 })), reply);
  }
  assertEquals(toHex(result!.accepted(null)), "00 5a 00 00 00 00 00 00");
});

// --- the client's side --------------------------------------------------------------------------------------------

const granted = hex("00 5a 00 00 00 00 00 00");
const targets: [hostname: string, port: number, user: string | undefined, sent: Uint8Array][] = [
  ["192.0.2.1", 443, undefined, message({ ip: "c0 00 02 01" })],
  ["192.0.2.1", 1, "alice", message({ ip: "c0 00 02 01", user: "alice", port: 1 })],
  ["example.com", 65535, undefined, message({ host: "example.com", port: 65535 })],
  ["a", 443, "älice", message({ host: "a", user: "älice" })],
  ["bücher.example", 443, undefined, message({ host: "xn--bcher-kva.example" })],
  [h255, 443, "u".repeat(512), message({ host: h255, user: "u".repeat(512) })],
];
for (const [hostname, port, user, sent] of targets) {
  test(`a tunnel to ${hostname.slice(0, 20)} is asked for in one write, and the tunnel's bytes are left`, () => {
    for (const chunks of everyChunking(concat(granted, "tunnel"))) {
      const { done, error, writes, rest } = run(connect({ hostname, port }, user), chunks);
      assertEquals([done, error, fromUtf8(rest)], [true, undefined, "tunnel"]);
      assertEquals(writes.map(toHex), [toHex(sent)]);
    }
  });
}

test("a reply of version 4 is tolerated", () => {
  const { done, error } = run(connect({ hostname: "a", port: 1 }), hex("04 5a 00 00 00 00 00 00"));
  assertEquals([done, error], [true, undefined]);
});

const failures: [reply: string, code: ErrorCode, says: string][] = [
  ["00 5b", "failed", "answered 91 (rejected or failed)"],
  ["00 5c", "auth", "answered 92"],
  ["00 5d", "auth", "answered 93"],
  ["00 5e", "protocol", "answered 94 (unassigned code)"],
  ["00 00", "protocol", "answered 0 (unassigned code)"],
  ["05 5a", "protocol", "expected a SOCKS4 reply, got version 5"],
  ["48 54", "protocol", "expected a SOCKS4 reply, got version 72"],
];
for (const [reply, code, says] of failures) {
  test(`${reply} from the server: ${says}`, () => {
    for (const chunks of everyChunking(concat(hex(`${reply} 00 00 00 00 00 00`), "what follows"))) {
      const error = proxyError(run(connect({ hostname: "a", port: 1 }), chunks).error);
      assertEquals([error.code, error.side], [code, "upstream"]);
      assertEquals(error.stage, code === "auth" ? "auth" : "request");
      assertStringIncludes(error.message, says);
    }
  });
}

test("a reply that ends early is an error", () => {
  for (let length = 0; length < granted.length; length++) {
    const { error } = run(connect({ hostname: "a", port: 1 }), granted.slice(0, length), { end: true });
    assertEquals(proxyError(error).code, "closed");
  }
});

const impossible: [hostname: string, port: number, user: string, code: ErrorCode][] = [
  ["::1", 80, "", "address"],
  ["", 80, "", "address"],
  ["a\0b", 80, "", "address"],
  ["h".repeat(256), 80, "", "address"],
  ["a", 0, "", "address"],
  ["a", 65536, "", "address"],
  ["a", 80, "alice\0evil.example", "auth"],
  ["a", 80, "u".repeat(513), "auth"],
];
for (const [hostname, port, user, code] of impossible) {
  test(`${JSON.stringify([hostname.slice(0, 9), port, user.slice(0, 9)])} is never written`, () => {
    const { writes, error } = run(connect({ hostname, port }, user), utf8(""));
    assertEquals([writes, proxyError(error).code, proxyError(error).side], [[], code, "local"]);
    assertEquals(proxyError(error).stage, code === "auth" ? "auth" : "request");
    assert(user === "" || !proxyError(error).message.includes(user));
  });
}
