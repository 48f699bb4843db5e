/**
 * The ways to choose among members that work.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { background } from "../../src/core/handshake.ts";
import { Trail } from "../../src/core/trail.ts";
import type { GroupKind } from "../../src/routing/order.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { faults, groupOf, ScriptedHop, target, type Tested } from "./members.ts";

function three(kind: GroupKind, options?: Parameters<typeof groupOf>[2]) {
  const hops = ["a", "b", "c"].map((name) => new ScriptedHop(name));
  return { ...groupOf(kind, hops, options), hops };
}

/** Opens a tunnel; the trail says by whom, and ends it. */
async function open({ group }: Tested): Promise<Trail> {
  const trail = new Trail();
  await group.dial(target, { ...background, trail });
  return trail;
}

async function sequence(tested: Tested, n: number): Promise<string> {
  let taken = "";
  for (let i = 0; i < n; i++) {
    const trail = await open(tested);
    taken += trail.via.join();
    trail.leave();
  }
  return taken;
}

test("failover takes the first that works", async () => {
  assertEquals(await sequence(three("failover"), 4), "aaaa");
});

test("round robin takes turns, and the next one's when one is down", async () => {
  const tested = three("roundRobin");
  assertEquals(await sequence(tested, 6), "abcabc");
  tested.hops[1].outcomes = [faults.refuses];
  assertEquals(await sequence(tested, 6), "accacc");
});

test("random follows the weights, for the second choice too", async () => {
  const tested = three("random", { weights: [6, 3, 1], clock: new FakeClock() });
  let state = 1;
  // A generator of its own (Park and Miller), so that the test is the same each time.
  Object.assign(tested.clock, { random: () => (state = state * 48271 % 2147483647) / 2147483647 });
  const taken = await sequence(tested, 10_000);
  const share = (name: string, of: string) => [...of].filter((one) => one === name).length / of.length;
  for (const [name, expected] of [["a", 0.6], ["b", 0.3], ["c", 0.1]] as const) {
    assert(Math.abs(share(name, taken) - expected) < 0.02, `${name}: ${share(name, taken)}`);
  }
  tested.hops[0].outcomes = [faults.refuses];
  const without = (await sequence(tested, 10_000)).replaceAll("a", "");
  assert(Math.abs(share("b", without) - 0.75) < 0.02, `b: ${share("b", without)}`);
});

test("the fewest tunnels are counted while they live, dials under way among them", async () => {
  const tested = three("leastTunnels");
  const trails = await Promise.all(Array.from({ length: 7 }, () => open(tested)));
  const counts = () => "abc".split("").map((name) => tested.health[name].tunnels);
  assertEquals(counts().sort(), [2, 2, 3]);
  for (const trail of trails.filter(({ via }) => via[0] === "b")) trail.leave();
  assertEquals(tested.health.b.tunnels, 0);
  assertEquals((await open(tested)).via, ["b"]);
});

test("equally few tunnels take turns", async () => {
  assertEquals(await sequence(three("leastTunnels"), 6), "abcabc");
});

test("the fastest is found by measuring each, and followed when that changes", async () => {
  const tested = three("fastest");
  const speeds: Record<string, number> = { a: 30, b: 10, c: 20 };
  for (const hop of tested.group.members) {
    const dial = hop.dialer.dial;
    hop.dialer.dial = async (target, ctx) => {
      await tested.clock.pass(speeds[hop.name]);
      return await dial(target, ctx);
    };
  }
  assertEquals(await sequence(tested, 6), "abcbbb");
  speeds.b = 100;
  const taken = await sequence(tested, 10);
  assert(/^b{1,3}c+$/.test(taken), taken);
  // Now and then chance has the one tried that was measured longest ago.
  tested.clock.chances.push(0.01);
  assertEquals(await sequence(tested, 2), "ac");
});

test("the fastest of those that work: one that fails was never fast", async () => {
  const tested = three("fastest");
  tested.hops[0].outcomes = [faults.refuses];
  assertEquals(await sequence(tested, 3), "bcb");
  assertEquals(tested.health.a.dialMs, undefined);
});
