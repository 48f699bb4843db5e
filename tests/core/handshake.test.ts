/**
 * The driver of handshakes over a connection.
 *
 * @module
 */
import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { BufferedConn } from "../../src/core/conn.ts";
import { ProxyError } from "../../src/core/errors.ts";
import {
  background,
  deadline,
  drive,
  type Find,
  type Handshake,
  read,
  settled,
  TooLong,
  until,
  write,
} from "../../src/core/handshake.ts";
import { fromUtf8, pieces, utf8 } from "../support/bytes.ts";
import { failureOf, rejectionOf } from "../support/errors.ts";
import { FakeConn } from "../support/fake_conn.ts";

const newline: Find = (bytes, from) => bytes.indexOf(10, from) + 1 || -1;
const client = { peer: "client" } as const;

/** Two bytes, a line, an answer, one more byte. */
function* example(): Handshake<string[]> {
  const two = yield* read(2, "two bytes");
  const line = yield* until(newline, 20, "a line", "auth");
  yield* write(utf8("ok"));
  const last = yield* read(1, "one byte", "auth");
  return [two, line, last].map(fromUtf8);
}

test("each step gets its message and what follows is left, however the bytes arrive", async () => {
  const sent = utf8("abline\ncREST");
  for (let size = 1; size <= sent.length; size++) {
    const inner = new FakeConn(...pieces(sent, size), null);
    const conn = new BufferedConn(inner);
    assertEquals(
      await drive(conn, example(), background, client),
      ["ab", "line\n", "c"],
      `pieces of ${size}`,
    );
    assertEquals(inner.writes, [utf8("ok")]);
    while (await conn.fill());
    assertEquals(fromUtf8(conn.buffered), "REST", `pieces of ${size}`);
    assertEquals(inner.calls, [], "the connection is the caller's");
  }
});

test("an answer of somebody else's is waited for, if it takes any time", async () => {
  for (const answer of ["x", Promise.resolve("x")]) {
    const asking = function* (): Handshake<string> {
      const [first] = yield* read(1, "one byte");
      const second = yield* settled(answer);
      return fromUtf8(Uint8Array.of(first)) + second + fromUtf8(yield* read(1, "one byte"));
    };
    const conn = new BufferedConn(new FakeConn(utf8("ab")));
    assertEquals(await drive(conn, asking(), background, client), "axb");
  }
});

test("what fails while it is waited for ends the handshake, and so does an abort", async () => {
  const broken = new ProxyError("broken", { code: "failed", side: "local", stage: "auth" });
  const failing = drive(
    new BufferedConn(new FakeConn()),
    settled(Promise.reject(broken)),
    background,
    client,
  );
  assertStrictEquals(await rejectionOf(failing), broken);
  const controller = new AbortController();
  const late = Promise.withResolvers<string>();
  const waiting = drive(new BufferedConn(new FakeConn()), settled(late.promise), controller, client);
  controller.abort(broken);
  late.resolve("too late");
  assertStrictEquals(await rejectionOf(waiting), broken);
});

test("nothing is read beyond what the handshake asks for", async () => {
  const inner = new FakeConn(utf8("abline\n"), utf8("c"), new Error("read too far"));
  assertEquals(await drive(new BufferedConn(inner), example(), background, client), ["ab", "line\n", "c"]);
});

const early: [sent: string, message: string, stage: string][] = [
  ["", "expected two bytes, but the connection ended after nothing", "request"],
  ["a", "expected two bytes, but the connection ended after 1 bytes", "request"],
  ["ab", "expected a line, but the connection ended after nothing", "auth"],
  ["ablin", "expected a line, but the connection ended after 3 bytes", "auth"],
  ["abline\n", "expected one byte, but the connection ended after nothing", "auth"],
];
for (const [sent, expected, stage] of early) {
  test(`an end after ${JSON.stringify(sent)} says what was expected`, async () => {
    for (const peer of ["client", "upstream"] as const) {
      const conn = new BufferedConn(new FakeConn(...pieces(utf8(sent), 1), null));
      const error = await failureOf(drive(conn, example(), background, { peer }));
      assertEquals([error.message, error.code, error.side, error.stage], [expected, "closed", peer, stage]);
    }
  });
}

test("a message may be as long as its limit, and no longer", async () => {
  for (const size of [1, 7, 100]) {
    const fits = new BufferedConn(new FakeConn(...pieces(utf8(`ab${"x".repeat(19)}\nc`), size)));
    assertEquals((await drive(fits, example(), background, client))[1].length, 20);
    const over = new BufferedConn(new FakeConn(...pieces(utf8(`ab${"x".repeat(20)}`), size)));
    const error = await failureOf(drive(over, example(), background, client));
    assertInstanceOf(error, TooLong);
    assertEquals([error.message, error.code, error.side, error.stage], [
      "a line is longer than 20 bytes",
      "protocol",
      "client",
      "auth",
    ]);
  }
});

function* endless(): Handshake<never> {
  for (;;) yield* read(1000, "more");
}

test("a handshake takes 64 KiB and no more, unless told otherwise", async () => {
  const limits: [maxBytes: number | undefined, taken: number][] = [[undefined, 65_000], [2500, 2000]];
  for (const [maxBytes, taken] of limits) {
    const conn = new BufferedConn(
      new FakeConn(...Array.from({ length: 80 }, () => new Uint8Array(1024)), null),
    );
    const error = await failureOf(drive(conn, endless(), background, { ...client, maxBytes }));
    assertInstanceOf(error, TooLong);
    while (await conn.fill());
    assertEquals(80 * 1024 - conn.buffered.length, taken);
  }
});

test("a message that asks for more than the limit fails before it is waited for", async () => {
  const conn = new BufferedConn(new FakeConn());
  const huge = read(70_000, "a huge message");
  assertInstanceOf(await failureOf(drive(conn, huge, background, client)), TooLong);
});

test("a handshake may catch a message that is too long, and answer it", async () => {
  function* polite(): Handshake<string> {
    try {
      yield* until(newline, 4, "a line");
      return "short";
    } catch (error) {
      yield* write(utf8("too long"));
      return error instanceof TooLong ? "long" : "other";
    }
  }
  const inner = new FakeConn(utf8("xxxxxxx"));
  assertEquals(await drive(new BufferedConn(inner), polite(), background, client), "long");
  assertEquals(fromUtf8(inner.sent), "too long");
});

test("a failing connection is an early end, with its cause", async () => {
  const reset = new Error("connection reset");
  const reading = await failureOf(
    drive(new BufferedConn(new FakeConn(reset)), example(), background, { peer: "upstream" }),
  );
  assertEquals([reading.message, reading.code, reading.side], ["connection reset", "closed", "upstream"]);
  assertStrictEquals(reading.cause, reset);

  const inner = new FakeConn();
  inner.writeError = new Error("broken pipe");
  const writing = await failureOf(drive(new BufferedConn(inner), write(utf8("x")), background, client));
  assertEquals([writing.message, writing.code, writing.side, writing.stage], [
    "broken pipe",
    "closed",
    "client",
    "request",
  ]);
});

test("a handshake's own error passes unchanged", async () => {
  const own = new ProxyError("no", { code: "denied", side: "client", stage: "auth" });
  // deno-lint-ignore require-yield
  function* failing(): Handshake<never> {
    throw own;
  }
  const inner = new FakeConn();
  assertStrictEquals(await rejectionOf(drive(new BufferedConn(inner), failing(), background, client)), own);
  assertEquals(inner.calls, [], "it may still be answered");
});

test("a deadline says what was waited for, and aborts the connection", async () => {
  const inner = new FakeConn(utf8("ab"));
  const { ctx, done } = deadline(undefined, 20);
  const error = await failureOf(drive(new BufferedConn(inner), example(), ctx, { peer: "upstream" }));
  done();
  assertEquals([error.message, error.code, error.side, error.stage], [
    "timed out after 20 ms waiting for a line",
    "timeout",
    "upstream",
    "auth",
  ]);
  assertEquals(inner.calls, ["abort"]);
});

test("a deadline within a write says so", async () => {
  const inner = new FakeConn();
  const controller = new AbortController();
  inner.write = () => {
    controller.abort(new ProxyError("timed out", { code: "timeout", side: "local", stage: "connect" }));
    return Promise.reject(new Error("aborted"));
  };
  const error = await failureOf(drive(new BufferedConn(inner), write(utf8("x")), controller, client));
  assertEquals([error.message, error.code, error.side], ["timed out sending", "timeout", "client"]);
});

test("a cancelled handshake rejects with the reason, whenever that comes", async () => {
  const reason = new Error("not wanted");
  const before = new FakeConn();
  const aborted = { signal: AbortSignal.abort(reason) };
  let started = false;
  // deno-lint-ignore require-yield
  function* never(): Handshake<void> {
    started = true;
  }
  assertStrictEquals(await rejectionOf(drive(new BufferedConn(before), never(), aborted, client)), reason);
  assertEquals([before.calls, started], [["abort"], false]);

  const lost = new ProxyError("another attempt won", { code: "closed", side: "local", stage: "connect" });
  const own = { signal: AbortSignal.abort(lost) };
  assertStrictEquals(
    await rejectionOf(drive(new BufferedConn(new FakeConn()), example(), own, client)),
    lost,
    "only a deadline is told in other words",
  );

  const during = new FakeConn(utf8("ab"));
  const controller = new AbortController();
  const driven = drive(new BufferedConn(during), example(), controller, client);
  await Promise.resolve();
  controller.abort(reason);
  assertStrictEquals(await rejectionOf(driven), reason);
  assertEquals(during.calls, ["abort"]);

  const last = new FakeConn();
  const late = new AbortController();
  last.write = () => Promise.resolve(late.abort(reason));
  assertStrictEquals(
    await rejectionOf(drive(new BufferedConn(last), write(utf8("x")), late, client)),
    reason,
    "a connection that was aborted is no success",
  );
});

test("after the handshake the signal has no say over the connection", async () => {
  const inner = new FakeConn(utf8("abline\nc"));
  const controller = new AbortController();
  await drive(new BufferedConn(inner), example(), controller, client);
  controller.abort();
  assertEquals(inner.calls, []);
});

test("a deadline passes its parent's abort on, and lets go when done", async () => {
  const parent = new AbortController();
  const { ctx, done } = deadline(parent, 60_000);
  parent.abort("reason");
  assertEquals([ctx.signal.aborted, ctx.signal.reason], [true, "reason"]);
  done();

  const aborted = deadline({ signal: AbortSignal.abort("early") }, 60_000);
  assertEquals(aborted.ctx.signal.reason, "early");
  aborted.done();

  const later = new AbortController();
  const finished = deadline(later, 1);
  finished.done();
  later.abort();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert(!finished.ctx.signal.aborted);
});
