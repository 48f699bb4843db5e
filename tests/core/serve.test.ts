/**
 * Sniffing, and the handler that most protocols share. The protocols themselves are sniffed in
 * tests/protocols/matchers.test.ts.
 *
 * @module
 */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { BufferedConn, type Client } from "../../src/core/conn.ts";
import { background, deadline, read } from "../../src/core/handshake.ts";
import {
  decide,
  type Gate,
  type Matcher,
  type Session,
  sniff,
  tunnelHandler,
  type TunnelRequest,
  type Verdict,
} from "../../src/core/serve.ts";
import { fromUtf8, pieces, utf8 } from "../support/bytes.ts";
import { failureOf, rejectionOf } from "../support/errors.ts";
import { FakeConn } from "../support/fake_conn.ts";

/** Says yes to a word. */
function word(name: string): { matcher: Matcher } {
  const match = (head: Uint8Array): Verdict => {
    const text = fromUtf8(head);
    return text.startsWith(name) ? "yes" : name.startsWith(text) ? "more" : "no";
  };
  return { matcher: { name, match } };
}

const [abc, abd, x] = [word("abc"), word("abd"), word("x")];
const candidates = [abc, abd, x];

const decisions: [head: string, decided: unknown][] = [
  ["a", "more"],
  ["ab", "more"],
  ["abc", abc],
  ["abd", abd],
  ["abe", "none"],
  ["b", "none"],
  ["x", x],
  ["xyz", x],
];
for (const [head, decided] of decisions) {
  test(`${head} is decided`, () => assertStrictEquals(decide(utf8(head), candidates), decided));
}

test("an earlier matcher that needs more is waited for", () => {
  assertStrictEquals(decide(utf8("ab"), [abc, word("a")]), "more");
  const a = word("a");
  assertStrictEquals(decide(utf8("abd"), [abc, a]), a);
});

test("sniffing consumes nothing, and reads no more than it needs", async () => {
  for (const size of [1, 2, 3]) {
    const inner = new FakeConn(...pieces(utf8("abd"), size), new Error("read too far"));
    const conn = new BufferedConn(inner);
    assertStrictEquals(await sniff(conn, candidates, background), abd);
    assertEquals(fromUtf8(conn.buffered), "abd");
  }
});

test("unknown bytes are shown, the first eight of them", async () => {
  const conn = new BufferedConn(new FakeConn(Uint8Array.of(0, 255, 16, 1, 2, 3, 4, 5, 6, 7)));
  const error = await failureOf(sniff(conn, candidates, background));
  assertEquals([error.code, error.side, error.stage], ["protocol", "client", "request"]);
  assertEquals(error.message, "the first bytes are of no protocol spoken here: 00 ff 10 01 02 03 04 05");
});

const ends: [sent: string, message: string][] = [
  ["", "the client closed without a word"],
  ["ab", "the client closed within its first 2 bytes"],
];
for (const [sent, message] of ends) {
  test(`an end after "${sent}" is told`, async () => {
    const conn = new BufferedConn(new FakeConn(...pieces(utf8(sent), 1), null));
    const error = await failureOf(sniff(conn, candidates, background));
    assertEquals([error.message, error.code, error.side], [message, "closed", "client"]);
  });
}

for (const sent of ["", "a", "ab"]) {
  test(`silence after "${sent}" ends with the deadline`, async () => {
    const inner = new FakeConn(...pieces(utf8(sent), 1));
    const { ctx, done } = deadline(undefined, 10);
    const error = await failureOf(sniff(new BufferedConn(inner), candidates, ctx));
    done();
    assertEquals(error.message, "timed out after 10 ms waiting for the client's first bytes");
    assertEquals([error.code, error.side, error.stage], ["timeout", "client", "request"]);
    assertEquals(inner.calls, ["abort"]);
  });
}

test("a stopped server stops sniffing, also when it had stopped before", async () => {
  const reason = new Error("stopping");
  const controller = new AbortController();
  const silent = new FakeConn();
  const sniffed = sniff(new BufferedConn(silent), candidates, controller);
  controller.abort(reason);
  assertStrictEquals(await rejectionOf(sniffed), reason);
  const inner = new FakeConn();
  const before = { signal: AbortSignal.abort(reason) };
  assertStrictEquals(await rejectionOf(sniff(new BufferedConn(inner), candidates, before)), reason);
  assertEquals([silent.calls, inner.calls], [["abort"], ["abort"]]);
});

test("after sniffing the signal has no say over the connection", async () => {
  const inner = new FakeConn(utf8("x"));
  const controller = new AbortController();
  await sniff(new BufferedConn(inner), candidates, controller);
  controller.abort();
  assertEquals(inner.calls, []);
});

/** A session that remembers the tunnel it was asked for. */
class FakeSession implements Session {
  readonly handshake = background;
  client: Client = {};
  readonly timeouts = { handshake: 1000, idle: 1000, halfClosed: 1000 };
  readonly retired = background.signal;
  readonly stopping = background.signal;
  readonly forwarded = false;
  readonly reverse = false;
  tunnels: [rest: string, protocol: string, request: TunnelRequest][] = [];
  constructor(readonly gate: Gate, readonly maxBytes: number) {}
  open(): Promise<never> {
    throw new Error("opening is the tunnel's business");
  }
  refused(): void {
    throw new Error("refusing is the server's business");
  }
  tunnel(conn: BufferedConn, protocol: string, request: TunnelRequest): Promise<void> {
    this.tunnels.push([fromUtf8(conn.buffered), protocol, request]);
    return Promise.resolve();
  }
}

test("a tunnel handler runs the handshake with the session's gate and limit, then asks for the tunnel", async () => {
  const request = { target: { hostname: "a", port: 1 }, accepted: () => utf8("+"), refused: () => utf8("-") };
  const gates: Gate[] = [];
  const handler = tunnelHandler("fake", function* (gate) {
    gates.push(gate);
    yield* read(4, "four bytes");
    return request;
  });
  const next = () => Promise.reject(new Error("nothing is peeled"));

  const open = new FakeSession(null, 4);
  await handler.handle(new BufferedConn(new FakeConn(utf8("fourrest"))), open, next);
  assertEquals(open.tunnels, [["rest", "fake", request]]);

  const gate = () => true;
  const small = new FakeSession(gate, 3);
  const error = await failureOf(handler.handle(new BufferedConn(new FakeConn(utf8("four"))), small, next));
  assertEquals([error.code, error.side, small.tunnels.length], ["protocol", "client", 0]);
  assertEquals(gates, [null, gate]);
});
