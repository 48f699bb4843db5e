/**
 * Scopes and alarms, in place of signals and timers.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { Alarm } from "../../src/core/alarm.ts";
import { Scope, told, unlessAborted } from "../../src/core/scope.ts";

/** Something that notes why it was cut short. */
class Work {
  reasons: unknown[] = [];

  abort(reason: unknown): void {
    this.reasons.push(reason);
  }
}

test("what is within a scope is aborted with it, once, and what has left is not", () => {
  const outer = new Scope();
  const works = Array.from({ length: 4 }, () => new Work());
  const [first, second, third, last] = works.map((work) => new Scope(outer, work));
  const within = new Work();
  new Scope(second, within);
  first.leave();
  third.leave();
  third.leave();
  outer.abort("over");
  outer.abort("again");
  assertEquals(works.map(({ reasons }) => reasons), [[], ["over"], [], ["over"]]);
  assertEquals(within.reasons, ["over"]);
  assertEquals([first, second, third, last].map(({ aborted }) => aborted), [false, true, false, true]);
  third.throwIfAborted();
  let thrown: unknown;
  try {
    last.throwIfAborted();
  } catch (reason) {
    thrown = reason;
  }
  assertEquals(thrown, "over");
});

test("a scope within one that is over is over at once", () => {
  const outer = new Scope();
  outer.abort("over");
  const work = new Work();
  const inner = new Scope(outer, work).limit(1);
  assertEquals([inner.aborted, inner.reason, work.reasons], [true, "over", ["over"]]);
});

test("the platform's signals go in and come out", () => {
  const controller = new AbortController();
  const scope = new Scope(controller);
  const inner = new Scope(scope);
  const { signal } = inner;
  assertStrictEquals(inner.signal, signal);
  controller.abort("by the program");
  assertEquals([scope.reason, signal.aborted, signal.reason], ["by the program", true, "by the program"]);
  assertEquals(scope.signal.reason, "by the program");
  assert(new Scope(controller).aborted);
});

test("what a scope tells is told within, until it is told something else", () => {
  const client = { serverName: "example.test" };
  const scope = new Scope(new Scope(undefined, null, { client }));
  assertStrictEquals(scope.client, client);
  const [guard, other] = [{ asked: () => undefined, reached: () => undefined }, {}];
  const within = new Scope(new Scope(scope, null, { guard }), null, { client: other });
  assertStrictEquals(within.client, other);
  assertStrictEquals(within.guard, guard, "what stays unsaid is not forgotten");
});

test("a limit aborts in its time, and not when the scope was left", async () => {
  const left = new Work();
  new Scope(undefined, left).limit(5).leave();
  const reason = await new Promise((abort) => new Scope(undefined, { abort }).limit(20));
  assertEquals((reason as Error).message, "timed out after 20 ms");
  assertEquals(left.reasons, []);
});

test("alarms of any duration go off in turn, and cancelled ones do not", async () => {
  const heard: string[] = [];
  const set = (ms: number, name: string) => new Alarm(ms, { wake: () => void heard.push(name) });
  const cancelled = [set(10, "first"), set(10, "a"), set(10, "middle"), set(10, "b"), set(10, "last")]
    .filter((_, index) => index % 2 === 0);
  for (const alarm of cancelled) alarm.cancel();
  set(60, "c").cancel();
  await new Promise<void>((done) => new Alarm(30, { wake: done }));
  assertEquals(heard, ["a", "b"]);
  for (const alarm of cancelled) alarm.cancel();
  await new Promise<void>((done) => new Alarm(10, { wake: done }));
  assertEquals(heard, ["a", "b"]);
});

test("an alarm may be set where another one goes off", async () => {
  let rounds = 0;
  await new Promise<void>((done) => {
    const again = { wake: () => ++rounds === 3 ? done() : void new Alarm(2, again) };
    new Alarm(2, again);
  });
  assertEquals(rounds, 3);
});

test("a context that is told more is aborted all the same", () => {
  const scope = new Scope(undefined, null, { client: { serverName: "example.test" } });
  const outgoing = { add() {}, delete() {} };
  const ctx = told(told(scope, { outgoing }), {});
  assertEquals([ctx.outgoing, ctx.client?.serverName], [outgoing, "example.test"]);
  const work = new Work();
  new Scope(ctx, work);
  const { signal } = ctx;
  scope.abort("over");
  assertEquals([signal.reason, work.reasons], ["over", ["over"]]);
  const plain = told(new AbortController(), { outgoing });
  assertEquals([plain.outgoing, plain.signal.aborted], [outgoing, false]);
});

test("what work comes to counts, unless its context is aborted first", async () => {
  const outcome = (work: Promise<unknown>, ctx: Scope) =>
    unlessAborted(work, ctx).then((found) => ["came", found], (reason) => ["threw", reason]);
  const never = new Promise(() => {});
  const scope = new Scope();
  assertEquals(await outcome(Promise.resolve("here"), scope), ["came", "here"]);
  assertEquals(await outcome(Promise.reject("wrong"), scope), ["threw", "wrong"]);
  const waiting = outcome(never, scope);
  scope.abort("over");
  assertEquals(await waiting, ["threw", "over"]);
  assertEquals(await outcome(never, scope), ["threw", "over"]);
});
