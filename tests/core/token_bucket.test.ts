/**
 * Token buckets: never more than the rate and a burst, never less while somebody wants it, and each in his turn.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import type { Clock } from "../../src/core/clock.ts";
import { type Taker, TokenBucket } from "../../src/core/token_bucket.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** When how many bytes were granted. */
interface Grant {
  readonly at: number;
  readonly bytes: number;
}

/** Takes for as long as there is time, in sizes that follow each other. */
class Greedy implements Taker {
  wanted = 0;
  taken = 0;
  #turn = 0;

  constructor(
    readonly bucket: TokenBucket,
    readonly sizes: readonly number[],
    readonly note: (bytes: number) => void,
  ) {}

  start(): void {
    for (;;) {
      const { bucket: { piece }, sizes } = this;
      this.wanted = Math.ceil(sizes[this.#turn++ % sizes.length] * piece);
      if (!this.bucket.take(this)) return;
      this.#count();
    }
  }

  granted(): void {
    this.#count();
    this.start();
  }

  #count(): void {
    this.taken += this.wanted;
    this.note(this.wanted);
  }
}

/** Wants something once. */
class Once implements Taker {
  got = false;

  constructor(readonly wanted: number) {}

  granted(): void {
    this.got = true;
  }
}

/** Whether every stretch of time had at most what it may have. */
function assertWithin(bucket: TokenBucket, grants: readonly Grant[], start: number): void {
  const { rate, burst, most } = bucket;
  grants.forEach(({ at: from }, first) => {
    let bytes = 0;
    for (const { at, bytes: more } of grants.slice(first)) {
      bytes += more;
      const allowed = rate * (at - from) / 1000 + most;
      assert(bytes <= allowed + 1e-3, `${bytes} bytes from ${from} to ${at} ms, of ${allowed}`);
    }
  });
  let all = 0;
  for (const { at, bytes } of grants) {
    all += bytes;
    assert(all <= rate * (at - start) / 1000 + burst + 1e-3, `${all} bytes until ${at} ms`);
  }
}

const rates = fc.integer({ min: 1024, max: 10 * 1024 * 1024 });
/** Parts of a bucket's piece. */
const sizes = fc.array(fc.constantFrom(0.1, 0.3, 0.5, 0.9, 1), { minLength: 1, maxLength: 5 });

test("those who take what they can get the rate, exactly, even when timers are late", () => {
  fc.assert(
    fc.property(
      rates,
      fc.array(sizes, { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 5 }),
      (rate, takers, lateness) => {
        const time = new FakeClock();
        let timer = 0;
        const clock: Clock = {
          now: time.now,
          after: (ms, run) => time.after(ms + lateness[timer++ % lateness.length], run),
        };
        const bucket = new TokenBucket(rate, clock);
        const grants: Grant[] = [];
        for (const sizes of takers) {
          new Greedy(bucket, sizes, (bytes) => grants.push({ at: time.now(), bytes })).start();
        }
        const seconds = 10;
        time.skip(seconds * 1000);
        const bytes = grants.reduce((sum, { bytes }) => sum + bytes, 0);
        const waiting = rate * (Math.max(...lateness) + 1) / 1000 + bucket.piece;
        assert(bytes >= rate * seconds + bucket.burst - waiting, `${bytes} bytes in ${seconds} s of ${rate}`);
        assertWithin(bucket, grants.slice(-200), grants.length > 200 ? -Infinity : 0);
        assert(bytes <= rate * seconds + bucket.burst, `${bytes} bytes in ${seconds} s of ${rate}`);
      },
    ),
    { numRuns: 50 },
  );
});

test("whoever comes now and then never gets more than the rate and a burst", () => {
  fc.assert(
    fc.property(
      rates,
      fc.array(fc.tuple(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 1, max: 16 * 1024 })), {
        maxLength: 50,
      }),
      (rate, visits) => {
        const time = new FakeClock();
        const bucket = new TokenBucket(rate, time);
        const grants: Grant[] = [];
        for (const [pause, size] of visits) {
          time.skip(pause);
          const wanted = Math.min(size, bucket.piece);
          const granted = () => void grants.push({ at: time.now(), bytes: wanted });
          if (bucket.take({ wanted, granted })) granted();
        }
        time.skip(60_000);
        assertEquals(grants.length, visits.length);
        assertEquals(time.waiting, 0);
        assertWithin(bucket, grants, 0);
      },
    ),
    { numRuns: 100 },
  );
});

test("those who take the same get the same", () => {
  const time = new FakeClock();
  const bucket = new TokenBucket(1024 * 1024, time);
  const takers = Array.from({ length: 7 }, () => new Greedy(bucket, [1], () => {}));
  // The first finds a full bucket.
  for (const taker of takers) taker.start();
  const before = takers.map(({ taken }) => taken);
  time.skip(10_000);
  const shares = takers.map(({ taken }, index) => taken - before[index]);
  assert(Math.max(...shares) - Math.min(...shares) <= bucket.piece, `shares ${shares}`);
});

test("nobody overtakes, and small ones wait behind large ones", () => {
  const time = new FakeClock();
  const bucket = new TokenBucket(100 * 1024, time);
  bucket.take(new Once(bucket.burst));
  const [large, small] = [new Once(bucket.piece), new Once(1)];
  assertEquals([bucket.take(large), bucket.take(small)], [false, false]);
  bucket.leave(small);
  assertEquals(bucket.take(small), false);
  time.skip(10);
  assertEquals([large.got, small.got], [false, false]);
  time.skip(1000);
  assertEquals(small.got, true);
});

test("whoever leaves gives up his place, and the last one the timer", () => {
  const time = new FakeClock();
  const bucket = new TokenBucket(2 * 1024, time);
  assertEquals(bucket.take(new Once(bucket.burst)), true);
  const [first, second] = [new Once(1024), new Once(512)];
  assertEquals([bucket.take(first), bucket.take(second)], [false, false]);
  bucket.leave(first);
  time.skip(501);
  assertEquals([first.got, second.got], [false, true]);
  const third = new Once(1024);
  assertEquals(bucket.take(third), false);
  assertEquals(time.waiting, 1);
  bucket.leave(third);
  bucket.leave(third);
  assertEquals(time.waiting, 0);
});

test("a rest is worth 50 ms, and pieces are 20 ms between 1 and 16 KiB", () => {
  const [KiB, MiB] = [1024, 1024 * 1024];
  const of = (rate: number) => new TokenBucket(rate, new FakeClock());
  assertEquals(of(KiB).piece, KiB);
  assertEquals(of(KiB).burst, KiB);
  assertEquals(of(500 * KiB).piece, 10 * KiB);
  assertEquals(of(MiB).piece, 16 * KiB);
  assertEquals(Math.round(of(MiB).burst), Math.round(0.05 * MiB));
  assertEquals(Math.round(of(MiB).most), Math.round(0.3 * MiB));
});
