/**
 * A connection whose first bytes can be looked at and given back.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { BufferedConn, type Conn } from "../../src/core/conn.ts";
import { concat, fromUtf8, utf8 } from "../support/bytes.ts";
import { FakeConn } from "../support/fake_conn.ts";

async function readAll(conn: Conn, size = 7): Promise<string> {
  const parts: Uint8Array[] = [];
  const p = new Uint8Array(size);
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    assert(n > 0, "a read never gives 0");
    parts.push(p.slice(0, n));
  }
  return fromUtf8(concat(...parts));
}

test("what was looked at is read by whoever comes next, then the rest", async () => {
  const conn = new BufferedConn(new FakeConn(utf8("hello "), utf8("world"), utf8("!"), null));
  assertEquals(await conn.fill(), true);
  assertEquals(await conn.fill(), true);
  assertEquals(fromUtf8(conn.buffered), "hello world");
  assertEquals(fromUtf8(conn.consume(4)), "hell");
  assertEquals(await readAll(conn, 3), "o world!");
});

test("views of consumed bytes stay valid while more arrives", async () => {
  const conn = new BufferedConn(
    new FakeConn(...Array.from({ length: 50 }, (_, i) => new Uint8Array(100).fill(i))),
  );
  const taken: Uint8Array[] = [];
  for (let i = 0; i < 50; i++) {
    while (conn.buffered.length < 100) await conn.fill();
    taken.push(conn.consume(100));
  }
  taken.forEach((view, i) => assertEquals(view, new Uint8Array(100).fill(i)));
});

test("a large head is gathered whole", async () => {
  const all = Uint8Array.from({ length: 10_000 }, (_, i) => i % 251);
  const conn = new BufferedConn(new FakeConn(all));
  while (conn.buffered.length < all.length) await conn.fill();
  assertEquals(conn.buffered, all);
});

/** A connection that brings its bytes in arrays of their own. */
function chunked(...chunks: (Uint8Array | null)[]): Conn {
  return Object.assign(new FakeConn(), { readChunk: () => Promise.resolve(chunks.shift() ?? null) });
}

test("a chunk that comes in an array of its own is not copied", async () => {
  const chunk = utf8("hello");
  const conn = new BufferedConn(chunked(chunk, utf8("wor"), utf8("ld"), null));
  assertEquals(await conn.fill(), true);
  assertStrictEquals(conn.buffered, chunk);
  assertEquals(fromUtf8(conn.consume(2)), "he");
  await conn.fill();
  await conn.fill();
  assertEquals(fromUtf8(conn.buffered), "lloworld");
  assertEquals(fromUtf8(conn.consume(3)), "llo");
  assertEquals(await conn.fill(), false);
  assertEquals(fromUtf8(conn.consume(5)), "world");
});

test("consumed bytes stay as they were while chunks of all sizes arrive", async () => {
  const all = Uint8Array.from({ length: 30_000 }, (_, i) => i % 251);
  const chunks: Uint8Array[] = [];
  for (let at = 0, size = 1; at < all.length; at += size, size = size * 3 % 397 + 1) {
    chunks.push(all.slice(at, at + size));
  }
  const conn = new BufferedConn(chunked(...chunks));
  const taken: Uint8Array[] = [];
  for (let size = 1; await conn.fill(); size = size * 5 % 211 + 1) {
    while (conn.available >= size) taken.push(conn.consume(size));
  }
  taken.push(conn.consume(conn.available));
  assertEquals(concat(...taken), all);
});

test("the end is remembered", async () => {
  const conn = new BufferedConn(new FakeConn(utf8("ab"), null));
  assertEquals([await conn.fill(), await conn.fill(), await conn.fill()], [true, false, false]);
  assertEquals(await readAll(conn), "ab");
  assertEquals(await conn.read(new Uint8Array(1)), null);
});

test("the connection below comes out only when nothing would be lost", async () => {
  const inner = new FakeConn(utf8("ab"), null);
  const conn = new BufferedConn(inner);
  assertStrictEquals(conn.unwrap(), inner);
  await conn.fill();
  assertStrictEquals(conn.unwrap(), conn);
  conn.consume(2);
  assertStrictEquals(conn.unwrap(), inner);
  await conn.fill();
  assertStrictEquals(conn.unwrap(), conn, "the end that was seen is only known here");
});

test("it is not wrapped twice", () => {
  const conn = new BufferedConn(new FakeConn());
  assertStrictEquals(BufferedConn.of(conn), conn);
  const inner = new FakeConn();
  assertStrictEquals(BufferedConn.of(inner).inner, inner);
});

test("everything else goes to the connection below", async () => {
  const inner = new FakeConn(new Error("reset"));
  const conn = new BufferedConn(inner);
  await conn.write(utf8("x"));
  await conn.closeWrite();
  await assertRejects(() => conn.fill(), Error, "reset");
  conn.close();
  conn.abort();
  assertEquals(inner.calls, ["closeWrite", "close", "abort"]);
  assertEquals(fromUtf8(inner.sent), "x");
  assertEquals([conn.localAddr, conn.remoteAddr], [inner.localAddr, inner.remoteAddr]);
});

test("a wait for more that nobody awaits any longer is joined by the next reader", async () => {
  const inner = new FakeConn();
  const conn = new BufferedConn(inner);
  const forgotten = conn.fill();
  assertStrictEquals(conn.unwrap(), conn, "somebody reads already");
  const p = new Uint8Array(8);
  const read = conn.read(p);
  const fill = conn.fill();
  inner.deliver(utf8("hello"));
  assertEquals([await forgotten, await fill, await read], [true, true, 5]);
  assertEquals(fromUtf8(p.subarray(0, 5)), "hello");
  assertStrictEquals(conn.unwrap(), inner);
  const last = conn.fill();
  inner.deliver(null);
  assertEquals([await conn.read(p), await last], [null, false]);
});

test("room is made for as much as is asked for", async () => {
  const inner = new FakeConn(new Uint8Array(5000));
  const conn = new BufferedConn(inner);
  await conn.fill(4096);
  assertEquals(conn.buffered.length, 4096);
});
