/**
 * Chunks that are pushed, read one by one.
 *
 * @module
 */
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { Inbox } from "../../src/core/inbox.ts";
import { fromUtf8, utf8 } from "../support/bytes.ts";
import { rejectionOf } from "../support/errors.ts";

function make() {
  const calls: string[] = [];
  const inbox = new Inbox({ pause: () => calls.push("pause"), resume: () => calls.push("resume") });
  return { inbox, calls };
}

async function take(inbox: Inbox, size: number): Promise<string | null> {
  const p = new Uint8Array(size);
  const n = await inbox.read(p);
  return n === null ? null : fromUtf8(p.slice(0, n));
}

test("what was pushed is read in order, in pieces of the reader's choice", async () => {
  const { inbox } = make();
  inbox.deliver(utf8("hello"));
  inbox.deliver(utf8(""));
  inbox.deliver(utf8("world"));
  assertEquals(inbox.stored, 10);
  assertEquals([await take(inbox, 3), await take(inbox, 3), await take(inbox, 9)], ["hel", "lo", "world"]);
  assertEquals(inbox.stored, 0);
});

test("a waiting reader gets what comes, and the rest is kept", async () => {
  const { inbox } = make();
  const waiting = take(inbox, 3);
  inbox.deliver(utf8(""));
  inbox.deliver(utf8("hello"));
  assertEquals([await waiting, inbox.stored, await take(inbox, 9)], ["hel", 2, "lo"]);
});

test("a borrowed chunk may be used again by its owner", async () => {
  const { inbox } = make();
  const shared = utf8("one");
  inbox.deliver(shared);
  shared.set(utf8("two"));
  assertEquals(await take(inbox, 9), "one");
  const own = utf8("own");
  inbox.deliver(own, false);
  assertStrictEquals(inbox.takeStored(), own);
  assertEquals(inbox.stored, 0);
});

test("the source is held back at 64 KiB, and let go once all is read", async () => {
  const { inbox, calls } = make();
  inbox.deliver(new Uint8Array(65_535));
  assertEquals(calls, []);
  inbox.deliver(new Uint8Array(1));
  inbox.deliver(new Uint8Array(1));
  assertEquals(calls, ["pause"]);
  await take(inbox, 65_535);
  await take(inbox, 1);
  assertEquals(calls, ["pause"]);
  await take(inbox, 1);
  assertEquals(calls, ["pause", "resume"]);
});

test("the end comes behind what is stored, and stays", async () => {
  const { inbox } = make();
  inbox.deliver(utf8("last"));
  inbox.end();
  assertEquals([inbox.ended, await take(inbox, 9), await take(inbox, 9), await take(inbox, 9)], [
    true,
    "last",
    null,
    null,
  ]);
});

test("an error comes behind what is stored; the first one stands", async () => {
  const { inbox } = make();
  const first = new Error("first");
  inbox.deliver(utf8("last"));
  inbox.fail(first);
  inbox.fail(new Error("second"));
  assertEquals(await take(inbox, 9), "last");
  assertStrictEquals(await rejectionOf(take(inbox, 9)), first);
  assertStrictEquals(inbox.error, first);
});

test("an error after the end is no news", async () => {
  const { inbox } = make();
  inbox.end();
  inbox.fail(new Error("late"));
  assertEquals(await take(inbox, 9), null);
});

test("a waiting reader hears of the end, and of an error", async () => {
  const one = make().inbox;
  const ended = take(one, 9);
  one.end();
  assertEquals(await ended, null);
  const two = make().inbox;
  const failed = take(two, 9);
  failed.catch(() => {});
  two.fail(new Error("reset"));
  await assertRejects(() => failed, Error, "reset");
});

test("a whole chunk is read as it came, or as much of it as is left", async () => {
  const { inbox, calls } = make();
  const own = utf8("hello");
  inbox.deliver(own, false);
  assertStrictEquals(await inbox.readChunk(), own);
  inbox.deliver(new Uint8Array(70_000));
  assertEquals(await inbox.read(new Uint8Array(10)), 10);
  assertEquals((await inbox.readChunk())?.length, 69_990);
  assertEquals(calls, ["pause", "resume"]);
  const waiting = inbox.readChunk();
  const borrowed = utf8("later");
  inbox.deliver(borrowed);
  borrowed.fill(0);
  assertEquals(fromUtf8((await waiting)!), "later");
  inbox.end();
  assertEquals(await inbox.readChunk(), null);
});
