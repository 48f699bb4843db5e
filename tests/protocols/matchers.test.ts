/**
 * Sniffing all protocols at once.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { BufferedConn } from "../../src/core/conn.ts";
import { background, deadline } from "../../src/core/handshake.ts";
import { decide, sniff, type Verdict } from "../../src/core/serve.ts";
import { h2 } from "../../src/protocols/h2_server.ts";
import { httpProxy } from "../../src/protocols/http_proxy.ts";
import { socks4 } from "../../src/protocols/socks4.ts";
import { socks5 } from "../../src/protocols/socks5.ts";
import { tlsMatcher } from "../../src/protocols/tls.ts";
import { concat, hex, pieces, utf8 } from "../support/bytes.ts";
import { failureOf } from "../support/errors.ts";
import { FakeConn } from "../support/fake_conn.ts";

const tls = { matcher: tlsMatcher };
const candidates: { matcher: { name: string; match(head: Uint8Array): Verdict } }[] = [
  tls,
  socks5,
  socks4,
  h2,
  httpProxy,
];
const name = (found: typeof candidates[number] | "more" | "none") =>
  typeof found === "string" ? found : found.matcher.name;

const greetings: [protocol: string, greeting: Uint8Array, decidedBy: number][] = [
  ["socks5", hex("05 01 00"), 1],
  ["socks5", hex("05 00"), 1],
  ["socks4", hex("04 01 00 50 7f 00 00 01 00"), 1],
  ["tls", hex("16 03 01 02 00 01"), 2],
  ["tls", hex("16 03 03 00 05"), 2],
  ["http", utf8("CONNECT a:1 HTTP/1.1\r\n"), 8],
  ["http", utf8("GET / HTTP/1.1\r\n"), 4],
  ["http", utf8("POST / HTTP/1.1\r\n"), 5],
  ["http", utf8("PUT / HTTP/1.1\r\n"), 4],
  ["h2", utf8("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 14],
  ["http", utf8("PRI / HTTP/1.1\r\n"), 5],
  ["http", utf8("M-SEARCH * HTTP/1.1\r\n"), 9],
  ["http", utf8("x / HTTP/1.1\r\n"), 2],
  ["http", utf8("azAZ09 / HTTP/1.1\r\n"), 7],
  ["http", utf8("!#$%&'*+-.^_`|~ / HTTP/1.1\r\n"), 16],
  ["http", utf8(`${"M".repeat(32)} / HTTP/1.1\r\n`), 33],
  ["http", utf8("\r\nGET / HTTP/1.1\r\n"), 6],
  ["http", utf8("\r\n\r\nGET / HTTP/1.1\r\n"), 8],
];
for (const [protocol, greeting, decidedBy] of greetings) {
  test(`${JSON.stringify(String.fromCharCode(...greeting))} is ${protocol}, by its byte ${decidedBy}`, async () => {
    for (let length = 1; length <= greeting.length; length++) {
      const decided = name(decide(greeting.slice(0, length), candidates));
      assertEquals(decided, length < decidedBy ? "more" : protocol, `${length} bytes`);
    }
    for (const size of [1, 2, greeting.length]) {
      const conn = new BufferedConn(new FakeConn(...pieces(greeting, size)));
      assertEquals((await sniff(conn, candidates, background)).matcher.name, protocol);
      assert(
        conn.buffered.length <= Math.max(decidedBy, Math.ceil(decidedBy / size) * size),
        "no more than needed",
      );
      assertEquals(conn.buffered, greeting.slice(0, conn.buffered.length));
    }
  });
}

const strangers: [name: string, head: Uint8Array, refusedBy: number][] = [
  ["NUL", hex("00"), 1],
  ["SOCKS version 6", hex("06 01 00"), 1],
  ["an SSLv2 hello", hex("80 2e 01 00 02"), 1],
  ["a TLS alert", hex("15 03 01"), 1],
  ["a record of version 2", hex("16 02 00"), 2],
  ["a bare LF", utf8("\nGET / HTTP/1.1"), 1],
  ["a bare CR", utf8("\rGET / HTTP/1.1"), 2],
  ["three empty lines", utf8("\r\n\r\n\r\nGET / HTTP/1.1"), 5],
  ["a space first", utf8(" GET / HTTP/1.1"), 1],
  ["a word without a space", utf8("HELLO\r\n"), 6],
  ["a word with a colon", utf8("Host: a"), 5],
  ["an endless word", utf8("A".repeat(100)), 33],
  ["a slash, which ends no method", utf8("/ HTTP/1.1"), 1],
  ["a bracket, next to the letters", utf8("A[ "), 2],
  ["an @, next to the letters", utf8("A@ "), 2],
  ["a brace, next to the letters", utf8("a{ "), 2],
  ["a colon, next to the digits", utf8("9: "), 2],
  ["letters outside ASCII", utf8("é"), 1],
  ["PROXY protocol v2, which nobody may guess", hex("0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a"), 5],
];
for (const [title, head, refusedBy] of strangers) {
  test(`${title} is nobody's, by its byte ${refusedBy}`, async () => {
    for (let length = 1; length <= head.length; length++) {
      const decided = name(decide(head.slice(0, length), candidates));
      assertEquals(decided, length < refusedBy ? "more" : "none", `${length} bytes`);
    }
    const conn = new BufferedConn(new FakeConn(...pieces(head, 1)));
    assertEquals((await failureOf(sniff(conn, candidates, background))).code, "protocol");
    assertEquals(conn.buffered.length, refusedBy);
  });
}

for (const head of ["", "\r", "\r\n", "G", "CONNECT", "\x16"]) {
  test(`${JSON.stringify(head)} and then silence or an end`, async () => {
    const ended = new BufferedConn(new FakeConn(...pieces(utf8(head), 1), null));
    assertEquals((await failureOf(sniff(ended, candidates, background))).code, "closed");
    const { ctx, done } = deadline(undefined, 5);
    const silent = new BufferedConn(new FakeConn(...pieces(utf8(head), 1)));
    assertEquals((await failureOf(sniff(silent, candidates, ctx))).code, "timeout");
    done();
  });
}

/** Bytes that begin like something, then anything. */
const anyHead = fc.tuple(
  fc.oneof(
    fc.constantFrom(...greetings.map(([, greeting]) => greeting), ...strangers.map(([, head]) => head)),
    fc.uint8Array({ maxLength: 4 }),
    fc.array(fc.constantFrom("\r\n", "\r", "\n", " ", "A", "GET", "\x05", "\x16", "\x03").map(utf8))
      .map((parts) => concat(...parts)),
  ),
  fc.uint8Array({ maxLength: 40 }),
).map(([head, rest]) => concat(head, rest));

test("no verdict on a prefix contradicts the verdict on a longer input", () => {
  fc.assert(
    fc.property(anyHead, (head) => {
      for (const { matcher } of candidates) {
        let before: Verdict = "more";
        for (let length = 1; length <= head.length; length++) {
          const verdict = matcher.match(head.subarray(0, length));
          if (before !== "more") assertEquals(verdict, before, `${matcher.name} at ${length}`);
          before = verdict;
        }
      }
      let before: ReturnType<typeof name> = "more";
      for (let length = 1; length <= head.length; length++) {
        const decided = name(decide(head.subarray(0, length), candidates));
        if (before !== "more") assertEquals(decided, before, `all at ${length}`);
        before = decided;
      }
    }),
    { numRuns: 2000 },
  );
});

test("at most one protocol claims the same bytes, so their order does not matter", () => {
  fc.assert(
    fc.property(
      anyHead,
      fc.shuffledSubarray(candidates, { minLength: candidates.length }),
      (head, shuffled) => {
        if (head.length === 0) return;
        assertStrictEquals(decide(head, shuffled), decide(head, candidates));
        assert(candidates.filter(({ matcher }) => matcher.match(head) === "yes").length <= 1);
      },
    ),
    { numRuns: 1000 },
  );
});

test("every input is decided within 40 bytes", () => {
  fc.assert(fc.property(anyHead, fc.uint8Array({ minLength: 40, maxLength: 40 }), (head, rest) => {
    assert(decide(concat(head, rest), candidates) !== "more");
  }));
});
