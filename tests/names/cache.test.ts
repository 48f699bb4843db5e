/**
 * Answers are kept for as long as they hold, and no longer.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { Cache } from "../../src/names/cache.ts";
import type { Answer } from "../../src/names/message.ts";

/** A cache with a clock of its own, and a source that counts. */
function caching(ttl: number) {
  let [now, looks] = [1_000, 0];
  const cache = new Cache(() => now);
  const look = (): Promise<Answer> =>
    Promise.resolve({ addresses: [`192.0.2.${++looks}`], unknown: false, ttl });
  return {
    pass: (seconds: number) => now += seconds * 1000,
    ask: async (name = "4 a.test") => (await cache.get(name, look)).addresses[0],
    cache,
    looks: () => looks,
  };
}

test("an answer holds for its time to live, and is asked for again after that", async () => {
  const { ask, pass } = caching(60);
  assertEquals(await ask(), "192.0.2.1");
  pass(59);
  assertEquals(await ask(), "192.0.2.1");
  pass(1);
  assertEquals(await ask(), "192.0.2.2");
});

test("an answer that holds for no time is given to those who wait for it, and to nobody else", async () => {
  const { ask } = caching(0);
  assertEquals(await Promise.all([ask(), ask(), ask()]), ["192.0.2.1", "192.0.2.1", "192.0.2.1"]);
  assertEquals(await ask(), "192.0.2.2");
});

test("no answer is believed for longer than an hour", async () => {
  const { ask, pass } = caching(1_000_000);
  await ask();
  pass(3599);
  assertEquals(await ask(), "192.0.2.1");
  pass(1);
  assertEquals(await ask(), "192.0.2.2");
});

test("a failure is told to those who wait, and not kept", async () => {
  const { cache, ask } = caching(60);
  const fail = () => Promise.reject(new Error("no"));
  await assertRejects(() => cache.get("4 a.test", fail), Error, "no");
  assertEquals(await ask(), "192.0.2.1");
});

test("names and families are kept apart, and the oldest make room", async () => {
  const { ask, looks } = caching(60);
  assertEquals([await ask("4 a.test"), await ask("6 a.test")], ["192.0.2.1", "192.0.2.2"]);
  for (let n = 0; n < 10_000; n++) await ask(`4 ${n}.test`);
  const before = looks();
  await ask("4 9999.test");
  assertEquals(looks(), before);
  await ask("4 a.test");
  assertEquals(looks(), before + 1);
});
