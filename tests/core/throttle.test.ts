/**
 * Connections within a bandwidth: what they pass on is whole, in time, and ends as it would without.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { Flow, relay } from "../../src/core/relay.ts";
import { Bandwidth, ThrottledConn } from "../../src/core/throttle.ts";
import { FakeClock, microtasks } from "../support/fake_clock.ts";
import { FakeConn } from "../support/fake_conn.ts";
import { memoryPair } from "../support/memory.ts";
import { bytes, expectPattern, outcome } from "../support/traffic.ts";

const KiB = 1024;

/** A connection within some rates, its other end, and the time. */
function throttled(inner: FakeConn, ...rates: number[]) {
  const time = new FakeClock();
  const bandwidths = rates.map((rate) => new Bandwidth(rate, time));
  return { time, bandwidths, conn: new ThrottledConn(inner, bandwidths) };
}

test("what is written goes out in pieces, at the rate", async () => {
  const inner = new FakeConn();
  const { time, conn } = throttled(inner, 100 * KiB);
  const sent = bytes(100 * KiB);
  let done = false;
  conn.write(sent).then(() => done = true);
  await microtasks();
  assertEquals(inner.sent.length, 4 * KiB);
  await time.pass(500);
  assertEquals(Math.abs(inner.sent.length - 55 * KiB) <= 2 * KiB, true, `${inner.sent.length} bytes`);
  assertEquals(done, false);
  await time.pass(500);
  assertEquals(done, true);
  assertEquals(inner.sent, sent);
  assertEquals(Math.max(...inner.writes.map(({ length }) => length)), 2 * KiB);
});

test("what is read comes in pieces, at the rate, and the end behind it without delay", async () => {
  const inner = new FakeConn(bytes(10 * KiB), null);
  const { time, conn } = throttled(inner, 10 * KiB);
  let done = false;
  const read = expectPattern(conn, 10 * KiB).then(() => done = true);
  await time.pass(890);
  assertEquals(done, false);
  await time.pass(20);
  await read;
  assertEquals(time.waiting, 0);
});

test("the directions are apart, and the narrowest of several bandwidths counts", async () => {
  const inner = new FakeConn(bytes(10 * KiB), null);
  const { time, conn } = throttled(inner, 1024 * KiB, 10 * KiB, 20 * KiB);
  const ends: string[] = [];
  expectPattern(conn, 10 * KiB).then(() => ends.push("read"));
  conn.write(bytes(10 * KiB)).then(() => ends.push("written"));
  await time.pass(890);
  assertEquals(ends, []);
  await time.pass(20);
  assertEquals(ends.toSorted(), ["read", "written"]);
});

for (const how of ["close", "abort"] as const) {
  test(`${how} ends the waiting, and leaves the bucket to others`, async () => {
    const inner = new FakeConn(bytes(2 * KiB));
    const { time, conn, bandwidths } = throttled(inner, 1024);
    const buffer = new Uint8Array(KiB);
    assertEquals(await conn.read(buffer), KiB);
    const reading = conn.read(buffer);
    const writing = conn.write(bytes(2 * KiB));
    await microtasks();
    assertEquals(time.waiting, 2);
    conn[how]();
    await assertRejects(() => reading, Error, "the connection is closed");
    await assertRejects(() => writing, Error, "the connection is closed");
    assertEquals(inner.calls, [how]);
    assertEquals(time.waiting, 0);
    await assertRejects(() => conn.write(buffer), Error, "the connection is closed");
    const next = new ThrottledConn(new FakeConn(), bandwidths);
    const written = next.write(buffer);
    await time.pass(1000);
    await written;
  });
}

test("what fails below fails above", async () => {
  const inner = new FakeConn(new Error("reset"));
  inner.writeError = new Error("broken");
  const { conn } = throttled(inner, 1024 * KiB);
  await assertRejects(() => conn.read(new Uint8Array(1)), Error, "reset");
  await assertRejects(() => conn.write(new Uint8Array(1)), Error, "broken");
  await conn.closeWrite();
  assertEquals(inner.calls, ["closeWrite"]);
});

test("who waits for his turn is not idle, and who has stopped is", async () => {
  const inner = new FakeConn();
  const { time, conn } = throttled(inner, 1024);
  const flow = new Flow();
  flow.last = 0;
  conn.meter(flow);
  assertEquals(flow.last, 0);
  const writing = conn.write(new Uint8Array(2 * KiB));
  await microtasks();
  const before = performance.now();
  conn.meter(flow);
  assertEquals(flow.last >= before, true);
  await time.pass(1000);
  await writing;
  const over = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 2));
  conn.meter(flow);
  assertEquals(flow.last <= over, true);
});

test("a relay is not idle while a limit holds it up, and is once it is not", async () => {
  const [client, ours] = memoryPair();
  const [upstream, target] = memoryPair();
  // 7 KiB at 8 KiB a second, in one go: the writing takes longer than the relay may be idle.
  const within = new ThrottledConn(upstream, [new Bandwidth(8 * KiB)]);
  const limits = { idle: 300, halfClosed: 300 };
  const result = relay(ours, within, limits, { meter: within.meter });
  await client.write(bytes(7 * KiB));
  const received = expectPattern(target, 7 * KiB);
  const { failure, bytesUp } = await result;
  assertEquals([(failure?.error as Error).message, bytesUp], ["idle for 0.3 s", 7 * KiB]);
  await received;
});

test("a relay that is held up ends at once when the client goes", async () => {
  const [client, ours] = memoryPair();
  const [upstream, target] = memoryPair();
  const within = new ThrottledConn(upstream, [new Bandwidth(KiB)]);
  const limits = { idle: 600_000, halfClosed: 600_000 };
  const result = relay(ours, within, limits, { meter: within.meter });
  await target.write(bytes(60 * KiB));
  await client.read(new Uint8Array(KiB));
  client.abort();
  assertEquals(await outcome(result, 20_000), "value");
  assertEquals((await result).failure?.side, "client");
});
