/**
 * The client's side of SOCKS5: what it writes, and every answer that a server may give.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import type { ErrorCode, Stage } from "../../src/core/errors.ts";
import { connect, type Credentials } from "../../src/protocols/socks5.ts";
import { concat, fromUtf8, hex, toHex, utf8 } from "../support/bytes.ts";
import { proxyError } from "../support/errors.ts";
import { everyChunking, run } from "../support/handshake.ts";

const target = { hostname: "a.b", port: 443 };
const alice: Credentials = { username: "alice", password: "se:cret" };
const granted = "05 00 00 01 7f 00 00 01 00 50";

function sent(input: string, to = target, credentials?: Credentials): string[] {
  const { writes, error } = run(connect(to, credentials), hex(input));
  assertEquals(error, undefined);
  return writes.map(toHex);
}

const x255 = "x".repeat(255);
const targets: [hostname: string, port: number, message: string][] = [
  ["a.b", 443, "05 01 00 03 03 61 2e 62 01 bb"],
  ["192.0.2.1", 1, "05 01 00 01 c0 00 02 01 00 01"],
  ["::1", 65535, `05 01 00 04 ${"00 ".repeat(15)}01 ff ff`],
  ["2130706433", 80, `05 01 00 03 0a ${toHex(utf8("2130706433"))} 00 50`],
  ["bücher.example", 80, `05 01 00 03 15 ${toHex(utf8("xn--bcher-kva.example"))} 00 50`],
  [x255, 80, `05 01 00 03 ff ${toHex(utf8(x255))} 00 50`],
];
for (const [hostname, port, message] of targets) {
  test(`a tunnel to ${hostname.slice(0, 20)} is asked for in two writes`, () => {
    assertEquals(sent(`05 00 ${granted}`, { hostname, port }), ["05 01 00", message]);
  });
}

test("credentials are offered, and sent when the server asks for them", () => {
  const name = toHex(utf8(alice.username));
  const password = toHex(utf8(alice.password));
  const subnegotiation = `01 05 ${name} 07 ${password}`;
  const request = "05 01 00 03 03 61 2e 62 01 bb";
  assertEquals(sent(`05 02 01 00 ${granted}`, target, alice), ["05 02 00 02", subnegotiation, request]);
  assertEquals(sent(`05 02 05 00 ${granted}`, target, alice).length, 3, "version 5 is tolerated there");
  assertEquals(sent(`05 00 ${granted}`, target, alice), ["05 02 00 02", request], "they are not wanted");
});

test("credentials of 1 and of 255 bytes fit", () => {
  for (const credentials of [{ username: "a", password: "b" }, { username: x255, password: x255 }]) {
    const [, message] = sent(`05 02 01 00 ${granted}`, target, credentials);
    assertEquals(hex(message).length, 3 + 2 * credentials.username.length);
  }
});

test("each message waits for the answer to the one before", () => {
  const answers = ["", "05 02", "01 00"];
  answers.forEach((_, index) => {
    const { writes, done } = run(connect(target, alice), hex(answers.slice(0, index + 1).join(" ")));
    assertEquals([writes.length, done], [index + 1, false]);
  });
});

const bounds: [name: string, reply: string][] = [
  ["an IPv4 address", granted],
  ["an IPv6 address", `05 00 00 04 ${"00 ".repeat(18)}`],
  ["a name of no bytes", "05 00 00 03 00 00 00"],
  ["a name", "05 00 00 03 03 61 2e 62 00 50"],
  ["a name of 255 bytes", `05 00 00 03 ff ${"61 ".repeat(255)} 00 50`],
  ["a reserved byte that is not 0", "05 00 7f 01 7f 00 00 01 00 50"],
];
for (const [name, reply] of bounds) {
  test(`a reply with ${name}, in any pieces, leaves the tunnel's bytes`, () => {
    for (const chunks of everyChunking(concat(hex(`05 00 ${reply}`), "tunnel"))) {
      const { done, error, rest } = run(connect(target), chunks);
      assertEquals([done, error, fromUtf8(rest)], [true, undefined, "tunnel"]);
    }
    const whole = hex(`05 00 ${reply}`);
    for (let length = 0; length < whole.length; length++) {
      const { error } = run(connect(target), whole.slice(0, length), { end: true });
      assertEquals(proxyError(error).code, "closed", `an end after ${length} bytes`);
    }
  });
}

type Failure = [
  sent: string,
  credentials: Credentials | undefined,
  code: ErrorCode,
  stage: Stage,
  says: string,
];
const reply = (code: string) => `05 00 05 ${code} 00 01 00 00 00 00 00 00`;
const failures: Failure[] = [
  [reply("01"), undefined, "failed", "request", "answered 1 (general failure)"],
  [reply("02"), undefined, "denied", "request", "answered 2 (not allowed by its rules)"],
  [reply("03"), undefined, "netUnreachable", "request", "answered 3 (network unreachable)"],
  [reply("04"), undefined, "unreachable", "request", "answered 4 (host unreachable)"],
  [reply("05"), undefined, "refused", "request", "answered 5 (connection refused)"],
  [reply("06"), undefined, "timeout", "request", "answered 6 (TTL expired)"],
  [reply("07"), undefined, "unsupported", "request", "answered 7 (command not supported)"],
  [reply("08"), undefined, "address", "request", "answered 8 (address type not supported)"],
  [reply("09"), undefined, "failed", "request", "answered 9 (unassigned code)"],
  [reply("ff"), undefined, "failed", "request", "answered 255 (unassigned code)"],
  ["05 ff", undefined, "auth", "auth", "wants credentials and none are configured"],
  ["05 ff", alice, "auth", "auth", "accepts neither"],
  ["05 02", undefined, "protocol", "auth", "method 2, which was not offered"],
  ["05 01", alice, "protocol", "auth", "method 1, which was not offered"],
  ["05 80", alice, "protocol", "auth", "method 128, which was not offered"],
  ["04 00", undefined, "protocol", "auth", "expected SOCKS version 5, got 4"],
  ["48 54", undefined, "protocol", "auth", "expected SOCKS version 5, got 72"],
  ["05 02 01 01", alice, "auth", "auth", "refused the credentials (status 1)"],
  ["05 02 01 ff", alice, "auth", "auth", "refused the credentials (status 255)"],
  ["05 02 05 01", alice, "auth", "auth", "refused the credentials (status 1)"],
  ["05 02 00 00", alice, "protocol", "auth", "expected authentication version 1, got 0"],
  ["05 00 04 00 00 01", undefined, "protocol", "request", "expected a reply of SOCKS version 5, got 4"],
  ["05 00 05 00 00 00", undefined, "protocol", "request", "address type 0; expected 1, 3 or 4"],
  ["05 00 05 00 00 05", undefined, "protocol", "request", "address type 5; expected 1, 3 or 4"],
];
for (const [answers, credentials, code, stage, says] of failures) {
  test(`${answers} ${credentials ? "with" : "without"} credentials: ${says}`, () => {
    for (const chunks of everyChunking(concat(hex(answers), "what follows"), 12)) {
      const error = proxyError(run(connect(target, credentials), chunks).error);
      // Nothing but a server that works knows these of a target.
      const side = code === "refused" || code === "unreachable" ? "target" : "upstream";
      assertEquals([error.code, error.side, error.stage], [code, side, stage]);
      assertStringIncludes(error.message, says);
      assert(!error.message.includes(alice.password));
    }
    assert(run(connect(target, credentials), hex(answers)).done, "nothing more is waited for");
  });
}

const impossible: [hostname: string, port: number][] = [
  ["", 80],
  ["x".repeat(256), 80],
  ["a\0b", 80],
  ["a\r\nb", 80],
  ["a b", 80],
  ["u@a", 80],
  ["a", 0],
  ["a", 65536],
  ["a", 65616],
];
for (const [hostname, port] of impossible) {
  test(`${JSON.stringify(hostname.slice(0, 9))} (${hostname.length}), port ${port} is never asked for`, () => {
    const { writes, error } = run(connect({ hostname, port }), hex("05 00"));
    assertEquals([writes.map(toHex), proxyError(error).code, proxyError(error).side], [
      ["05 01 00"],
      "address",
      "local",
    ]);
  });
}

for (
  const [username, password] of [["", "b"], ["a", ""], [`${x255}x`, "b"], ["a", `${x255}x`], [
    "a",
    "é".repeat(128),
  ]]
) {
  test(`credentials of ${username.length} and ${password.length} characters are never cut`, () => {
    const { writes, error } = run(connect(target, { username, password }), hex("05 02"));
    const { code, side, message } = proxyError(error);
    assertEquals([writes.length, code, side], [1, "auth", "local"]);
    assertStringIncludes(message, "SOCKS5 takes 1 to 255");
  });
}
