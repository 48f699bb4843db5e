/**
 * Active checks, by a clock that a test turns.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { keepChecking } from "../../src/routing/checks.ts";
import { Health, Healths } from "../../src/routing/health.ts";
import { FakeClock, microtasks } from "../support/fake_clock.ts";
import { fault, faults, groupOf, network, ScriptedHop, target } from "./members.ts";

const check = { target: { hostname: "check.example", port: 443 }, every: 30_000 };

function checked(...hops: ScriptedHop[]) {
  const tested = groupOf("failover", hops, { checked: true });
  const retiring = new AbortController();
  keepChecking(tested.group, check, retiring.signal);
  return { ...tested, retiring };
}

test("members are checked at once, then in their time, and the connections are closed", async () => {
  const [a, b] = [new ScriptedHop("a"), new ScriptedHop("b")];
  const { clock } = checked(a, b);
  await clock.pass(0);
  assertEquals([a.asked, b.asked], [[check.target], [check.target]]);
  assertEquals(a.conns[0].calls, ["close"]);
  await clock.pass(29_999);
  assertEquals(a.dials, 1);
  await clock.pass(1000);
  assertEquals([a.dials, b.dials], [2, 2]);
});

test("what a check finds no client needs to find: down, and up again as the back-off says", async () => {
  const [a, b] = [new ScriptedHop("a", faults.refuses, faults.garbage, "ok"), new ScriptedHop("b")];
  const { clock, group, reports } = checked(a, b);
  await clock.pass(0);
  assertEquals(reports, ["down a"]);
  (await group.dial(target)).close();
  await clock.pass(1500);
  assertEquals([a.dials, b.asked.length], [2, 2], "a was tried by the check alone");
  (await group.dial(target)).close();
  assertEquals([a.dials, b.asked.length], [2, 3]);
  await clock.pass(3000);
  assertEquals(reports, ["down a", "up a"]);
  (await group.dial(target)).close();
  assertEquals(a.asked.at(-1), target);
});

test("a check's target that a member can't reach is the member's failure: that is what it is for", async () => {
  const { clock, reports } = checked(new ScriptedHop("a", faults.gone), new ScriptedHop("b"));
  await clock.pass(0);
  assertEquals(reports, ["down a"]);
});

test("when the way to the members is cut, a check tells nothing of them", async () => {
  const near = new ScriptedHop("near", fault("auth", "auth"));
  const { group, clock, reports } = groupOf("failover", [new ScriptedHop("a")], { next: near.wrap(network) });
  keepChecking(group, check, new AbortController().signal);
  await clock.pass(0);
  assertEquals([near.dials, reports], [1, []]);
});

test("checks end with their configuration, and a dial under way with them", async () => {
  const [a, b] = [new ScriptedHop("a", new Promise(() => {})), new ScriptedHop("b")];
  const { clock, retiring, reports } = checked(a, b);
  await clock.pass(0);
  assertEquals(a.signals[0].aborted, false);
  retiring.abort();
  await microtasks();
  await clock.pass(0);
  assertEquals([a.signals[0].aborted, clock.waiting, reports], [true, 0, []]);
  await clock.pass(120_000);
  assertEquals([a.dials, b.dials], [1, 1]);
});

test("the time that a member rests doubles up to a minute, and no two rest for the same time", () => {
  const clock = new FakeClock();
  const health = new Health(clock);
  const rests: number[] = [];
  clock.chances.push(0, 0.999);
  for (let i = 0; i < 9; i++) {
    health.fail(health.begin());
    rests.push(Math.round(health.rest));
  }
  assertEquals(rests, [500, 1999, 3000, 6000, 12_000, 24_000, 45_000, 45_000, 45_000]);
  assert(health.succeed(health.begin()));
  assert(health.fail(health.begin()));
  assertEquals(health.rest, 750, "and from the beginning once it has worked");
});

test("what began before a failure says nothing after it", () => {
  const health = new Health(new FakeClock());
  const [early, late] = [health.begin(), health.begin()];
  assertEquals([health.fail(early), health.succeed(late), health.down], [true, false, true]);
});

test("a member that is defined alike stays known under another configuration, others are forgotten", () => {
  const [first, second, third] = [new Healths(), new Healths(), new Healths()];
  const a = first.of("a");
  assert(second.of("a", first) === a && second.of("a") === a);
  assert(second.of("b", first) !== a);
  first.of("c");
  assert(third.of("a", second) === a);
  assertEquals(third.known("c"), undefined);
});
