/**
 * The server's side of SOCKS5: every message at every chunking, every refusal byte for byte.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import type { ErrorCode } from "../../src/core/errors.ts";
import type { TunnelRequest } from "../../src/core/serve.ts";
import { accept } from "../../src/protocols/socks5.ts";
import { concat, fromUtf8, hex, toHex, utf8 } from "../support/bytes.ts";
import { proxyError } from "../support/errors.ts";
import { gateFor } from "../support/gates.ts";
import { everyChunking, run } from "../support/handshake.ts";

const greeting = "05 01 00";
const v4 = "05 01 00 01 c0 00 02 01 01 bb";

function domain(name: string | Uint8Array, port = "01 bb"): string {
  const bytes = typeof name === "string" ? utf8(name) : name;
  return `05 01 00 03 ${toHex(Uint8Array.of(bytes.length))} ${toHex(bytes)} ${port}`;
}

const requests: [name: string, sent: string, hostname: string, port: number][] = [
  ["an IPv4 address", v4, "192.0.2.1", 443],
  ["an IPv6 address", `05 01 00 04 20 01 0d b8 ${"00 ".repeat(11)} 01 00 01`, "2001:db8::1", 1],
  ["a mapped address", `05 01 00 04 ${"00 ".repeat(10)} ff ff 7f 00 00 01 ff ff`, "::ffff:7f00:1", 65535],
  ["a name", domain("example.com"), "example.com", 443],
  ["a name of one byte", domain("a"), "a", 443],
  ["a name of 255 bytes", domain("n".repeat(255)), "n".repeat(255), 443],
  ["an IPv4 literal as a name", domain("127.0.0.1"), "127.0.0.1", 443],
  ["an IPv6 literal as a name", domain("2001:DB8:0::1"), "2001:db8::1", 443],
  ["a name with umlauts", domain("bücher.example"), "xn--bcher-kva.example", 443],
  ["a reserved byte that is not 0", v4.replace("05 01 00", "05 01 ff"), "192.0.2.1", 443],
];
for (const [name, sent, hostname, port] of requests) {
  test(`a request with ${name}, in any pieces, leaves what follows`, () => {
    const whole = concat(hex(greeting + sent), "payload");
    for (const chunks of everyChunking(whole)) {
      const { result, writes, rest } = run(accept(null), chunks);
      assertEquals(result?.target, { hostname, port });
      assertEquals(result?.user, undefined);
      assertEquals([writes.map(toHex), fromUtf8(rest)], [["05 00"], "payload"]);
    }
  });
}

test("each answer waits for its message and not a byte more", () => {
  const greetingOnly = run(accept(null), hex(greeting));
  assertEquals(greetingOnly.writes.map(toHex), ["05 00"], "three bytes are a whole greeting");
  assert(run(accept(null), hex(`${greeting} ${v4}`)).done);
  const whole = hex(`${greeting} ${v4}`);
  for (let length = 0; length < whole.length; length++) {
    assert(!run(accept(null), whole.slice(0, length)).done, `${length} bytes`);
    const { error } = run(accept(null), whole.slice(0, length), { end: true });
    assertEquals(proxyError(error).code, "closed", `an end after ${length} bytes`);
  }
});

type Refusal = [name: string, sent: string, writes: string[], code: ErrorCode];
const complete = (reply: string) => `05 ${reply} 00 01 00 00 00 00 00 00`;
const refusals: Refusal[] = [
  ["no methods", "05 00", ["05 ff"], "unsupported"],
  ["GSSAPI alone", "05 01 01", ["05 ff"], "unsupported"],
  ["GSSAPI and a password, where none is asked for", "05 02 01 02", ["05 ff"], "unsupported"],
  ["private methods", "05 03 80 fe ff", ["05 ff"], "unsupported"],
  ["another version", "04 01", [], "protocol"],
  ["another version in the request", `${greeting} 04 01 00 01`, ["05 00", complete("01")], "protocol"],
  ...["00", "04", "05", "7f", "ff"].flatMap((command): Refusal[] => [
    [
      `command ${command}`,
      `${greeting} 05 ${command} 00 01 7f 00 00 01 00 50`,
      ["05 00", complete("07")],
      "unsupported",
    ],
  ]),
  ["BIND", `${greeting} 05 02 00 01 7f 00 00 01 00 50`, ["05 00", complete("07")], "unsupported"],
  ["BIND from port 0", `${greeting} 05 02 00 01 00 00 00 00 00 00`, ["05 00", complete("07")], "unsupported"],
  [
    "UDP ASSOCIATE as it is",
    `${greeting} 05 03 00 01 00 00 00 00 00 00`,
    ["05 00", complete("07")],
    "unsupported",
  ],
  [
    "UDP ASSOCIATE over IPv6",
    `${greeting} 05 03 00 04 ${"00 ".repeat(18)}`,
    ["05 00", complete("07")],
    "unsupported",
  ],
  ...["00", "02", "05", "ff"].map((atyp): Refusal => [
    `address type ${atyp}`,
    `${greeting} 05 01 00 ${atyp}`,
    ["05 00", complete("08")],
    "address",
  ]),
  ["port 0", `${greeting} 05 01 00 01 7f 00 00 01 00 00`, ["05 00", complete("01")], "address"],
  ["port 0 of a name", `${greeting} ${domain("a", "00 00")}`, ["05 00", complete("01")], "address"],
  ["a name of no bytes", `${greeting} ${domain("")}`, ["05 00", complete("08")], "address"],
  ...[
    "a\0",
    "\0",
    "a\r",
    "a\nb",
    "a b",
    "u@a",
    "a/b",
    "a:1",
    ":",
    "%41",
    "a%eth0",
    "[::1]",
    "::1%eth0",
    "1.2.3.4:5",
  ]
    .map((name): Refusal => [
      `the name ${JSON.stringify(name)}`,
      `${greeting} ${domain(name)}`,
      ["05 00", complete("08")],
      "address",
    ]),
  ["a name that is no UTF-8", `${greeting} ${domain(hex("ff fe"))}`, ["05 00", complete("08")], "address"],
];
for (const [name, sent, writes, code] of refusals) {
  test(`${name}: a complete refusal, whatever follows is left alone`, () => {
    for (const chunks of everyChunking(concat(hex(sent), "payload"), 12)) {
      const outcome = run(accept(null), chunks);
      assertEquals(outcome.writes.map(toHex), writes);
      const error = proxyError(outcome.error);
      assertEquals([error.code, error.side, fromUtf8(outcome.rest)], [code, "client", "payload"]);
    }
    assert(run(accept(null), hex(sent)).done, "nothing more is waited for");
  });
}

// --- RFC 1929 ---------------------------------------------------------------------------------------------------

function credentials(username: string | Uint8Array, password: string | Uint8Array): Uint8Array {
  const [name, secret] = [concat(username), concat(password)];
  return concat(Uint8Array.of(1, name.length), name, Uint8Array.of(secret.length), secret);
}

const x255 = "x".repeat(255);
const users: [username: string, password: string][] = [
  ["alice", "secret"],
  ["a", "b"],
  [x255, x255],
  ["ü:ber", "pass wörd:\r\n"],
  ["", ""],
  ["alice", ""],
  ["\ufeffalice", "\ufeffsecret"],
];
for (const [username, password] of users) {
  test(`user ${JSON.stringify(username.slice(0, 10))} (${username.length}, ${password.length}) gets in`, () => {
    const sent = concat(hex("05 02 00 02"), credentials(username, password), hex(v4), "payload");
    for (const chunks of everyChunking(sent, 40)) {
      const gate = gateFor(username, password);
      const { result, writes, rest } = run(accept(gate), chunks);
      assertEquals(writes.map(toHex), ["05 02", "01 00"], "the answer's version is 1");
      assertEquals([result?.user, result?.target.port, fromUtf8(rest)], [username, 443, "payload"]);
      assertEquals(gate.knocks, [[username, password]]);
    }
  });
}

const strangers: [name: string, message: Uint8Array][] = [
  ["a wrong password", credentials("alice", "wrong")],
  ["a wrong user", credentials("mallory", "secret")],
  ["no user", credentials("", "secret")],
  ["no password", credentials("alice", "")],
  ["nothing", credentials("", "")],
  ["a longer password", credentials("alice", "secret\0")],
  ["a user that is no UTF-8", credentials(hex("ff"), "secret")],
  ["a password that is no UTF-8", credentials("alice", hex("ff"))],
];
for (const [name, message] of strangers) {
  test(`${name}: status 1, and what was pipelined is not looked at`, () => {
    for (const chunks of everyChunking(concat(hex("05 01 02"), message, hex(v4), "payload"))) {
      const gate = gateFor("alice", "secret");
      const { error, result, writes, rest } = run(accept(gate), chunks);
      assertEquals(writes.map(toHex), ["05 02", "01 01"]);
      assert(gate.knocks.flat().every((said) => typeof said === "string"), "nothing unreadable is asked");
      assertEquals([result, toHex(rest)], [undefined, toHex(concat(hex(v4), "payload"))]);
      const { code, side, stage } = proxyError(error);
      assertEquals([code, side, stage], ["auth", "client", "auth"]);
      assert(!String(error).includes("secret"), String(error));
    }
  });
}

test("bytes that are no UTF-8 are nobody's name, not even a replacement character's", () => {
  for (const [username, password] of [["\ufffd", "secret"], ["alice", "\ufffd"]]) {
    const raw = (text: string) => text === "\ufffd" ? hex("ff") : text;
    const sent = concat(hex("05 01 02"), credentials(raw(username), raw(password)));
    assertEquals(run(accept(gateFor(username, password)), sent).writes.map(toHex), ["05 02", "01 01"]);
  }
});

const unwilling: [name: string, sent: string, writes: string[], code: ErrorCode][] = [
  ["no authentication alone", "05 01 00", ["05 ff"], "auth"],
  ["GSSAPI alone", "05 01 01", ["05 ff"], "auth"],
  ["no methods", "05 00", ["05 ff"], "auth"],
  ["another version of the message", "05 01 02 05 05", ["05 02", "01 01"], "protocol"],
];
for (const [name, sent, writes, code] of unwilling) {
  test(`where there are users, ${name} is refused`, () => {
    for (const chunks of everyChunking(hex(`${sent} ${v4}`))) {
      const gate = gateFor("alice", "secret");
      const outcome = run(accept(gate), chunks);
      assertEquals([outcome.writes.map(toHex), proxyError(outcome.error).code], [writes, code]);
      assertEquals([outcome.result, gate.knocks], [undefined, []]);
    }
  });
}

test("the refusal of a wrong password names the user, printably, and never the password", () => {
  const sent = concat(hex("05 01 02"), credentials("eve\x1b[31m\u202e", "hunter2"));
  const { message } = proxyError(run(accept(gateFor("alice", "secret")), sent).error);
  assertStringIncludes(message, "wrong credentials for user");
  assertStringIncludes(message, "eve");
  assert(!/hunter2|\p{Cc}|\p{Bidi_Control}/u.test(message), message);
});

// --- the last reply -----------------------------------------------------------------------------------------------

function request(): TunnelRequest {
  return run(accept(null), hex(`${greeting} ${v4}`)).result!;
}

const bounds: [hostname: string | null, port: number, reply: string][] = [
  ["127.0.0.1", 40000, "05 00 00 01 7f 00 00 01 9c 40"],
  ["::1", 1, `05 00 00 04 ${"00 ".repeat(15)}01 00 01`],
  [null, 0, complete("00")],
  ["a.name", 80, complete("00")],
  ["", 80, complete("00")],
];
for (const [hostname, port, reply] of bounds) {
  test(`success from ${hostname} is whole, and never holds a name`, () => {
    assertEquals(toHex(request().accepted(hostname === null ? null : { hostname, port })), reply);
  });
}
