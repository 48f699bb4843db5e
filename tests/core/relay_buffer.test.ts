/**
 * How a relay's buffer follows its flow.
 *
 * @module
 */
import { assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { RelayBuffer } from "../../src/core/relay_buffer.ts";

const KiB = 1024;

/** The sizes that a buffer has for its first read, and after each read of as much as is said. */
function sizes(...reads: number[]): number[] {
  const buffer = new RelayBuffer();
  return [
    buffer.bytes.length,
    ...reads.map((n) => {
      buffer.adapt(n);
      return buffer.bytes.length;
    }),
  ];
}

test("a direction waits with little, and gets more while more comes than fits", () => {
  assertEquals(sizes(64, KiB - 1), [KiB, KiB, KiB]);
  assertEquals(sizes(KiB, 256 * KiB, 256 * KiB - 1), [KiB, 256 * KiB, 256 * KiB, KiB]);
  assertEquals(sizes(KiB, 31 * KiB, KiB), [KiB, 256 * KiB, KiB, 256 * KiB]);
});

test("what one direction borrows no other has at the same time", () => {
  const [one, other] = [new RelayBuffer(), new RelayBuffer()];
  for (const buffer of [one, other]) buffer.adapt(KiB);
  const borrowed = one.bytes;
  assertNotStrictEquals(borrowed, other.bytes);
  one.release();
  one.release();
  assertEquals(one.bytes.length, KiB);
  const [third, fourth] = [new RelayBuffer(), new RelayBuffer()];
  for (const buffer of [third, fourth]) buffer.adapt(KiB);
  assertStrictEquals(third.bytes, borrowed);
  assertNotStrictEquals(fourth.bytes, borrowed);
  assertNotStrictEquals(fourth.bytes, other.bytes);
});

test("what a direction has ended with goes to one other", () => {
  const ended = new RelayBuffer();
  const own = ended.bytes;
  ended.end();
  ended.end();
  assertEquals(ended.bytes.length, 0);
  const [one, other] = [new RelayBuffer(), new RelayBuffer()];
  assertStrictEquals(one.bytes, own);
  assertNotStrictEquals(other.bytes, own);
});

test("what is never to hold much grows to no more than it may", () => {
  const [one, other] = [new RelayBuffer(16 * KiB), new RelayBuffer()];
  for (const buffer of [one, other]) buffer.adapt(KiB);
  assertEquals([one.bytes.length, other.bytes.length], [16 * KiB, 256 * KiB]);
  one.release();
  const next = new RelayBuffer();
  next.adapt(KiB);
  assertEquals(next.bytes.length, 256 * KiB);
});

test("what was read is seen without the rest of the buffer", () => {
  const buffer = new RelayBuffer();
  buffer.bytes.set([1, 2, 3]);
  assertEquals(buffer.filled(2), Uint8Array.of(1, 2));
  assertStrictEquals(buffer.filled(KiB), buffer.bytes);
});
