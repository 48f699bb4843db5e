/**
 * Groups: who is tried, in what order, and what is held against whom.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import type { Dialer } from "../../src/core/dialer.ts";
import { background } from "../../src/core/handshake.ts";
import { Trail } from "../../src/core/trail.ts";
import { failureOf, rejectionOf } from "../support/errors.ts";
import { microtasks } from "../support/fake_clock.ts";
import { FakeConn } from "../support/fake_conn.ts";
import { fault, faults, groupOf, network, type Outcome, ScriptedHop, target } from "./members.ts";

/** Dials with a trail; tells the way. */
async function way(group: Dialer): Promise<string> {
  const trail = new Trail();
  try {
    (await group.dial(target, { ...background, trail })).close();
  } catch (error) {
    return `${trail.via.join(">")}: ${(error as Error).message}`;
  } finally {
    trail.leave();
  }
  return trail.via.join(">");
}

async function ways(group: Dialer, n: number): Promise<string> {
  const taken: string[] = [];
  for (let i = 0; i < n; i++) taken.push(await way(group));
  return taken.join(" ");
}

const own: [what: string, outcome: Outcome][] = [
  ["can't be connected to", faults.refuses],
  ["is not found", fault("resolve", "resolve")],
  ["is not reached in time", fault("timeout", "connect", "local")],
  ["has a certificate that does not hold", fault("tls", "tls")],
  ["resets in its greeting", faults.resets],
  ["wants other credentials", fault("auth", "auth")],
  ["is silent in its greeting", fault("timeout", "auth")],
  ["answers with garbage", faults.garbage],
  ["closes instead of an answer", fault("closed", "request")],
];
for (const [what, outcome] of own) {
  test(`a member that ${what} is down, and the next one serves`, async () => {
    const [a, b] = [new ScriptedHop("a", outcome), new ScriptedHop("b")];
    const { group, reports } = groupOf("failover", [a, b]);
    assertEquals(await ways(group, 3), "b b b");
    assertEquals([a.dials, b.dials, reports], [1, 3, ["down a"]]);
  });
}

const unclear: [what: string, outcome: Outcome][] = [
  ["forbids it", faults.forbids],
  ["says that it is full", fault("limit", "request")],
  ["fails without a reason", fault("failed", "request")],
  ["says that it took too long", fault("timeout", "request")],
  ["has no network", fault("netUnreachable", "request")],
  ["answers 503", fault("unreachable", "request")],
];
for (const [what, outcome] of unclear) {
  test(`a member that ${what} is down if another one can, and not if no other can`, async () => {
    const one = groupOf("failover", [new ScriptedHop("a", outcome), new ScriptedHop("b")]);
    assertEquals([await ways(one.group, 2), one.reports], ["b b", ["down a"]]);
    const none = groupOf("failover", [new ScriptedHop("a", outcome), new ScriptedHop("b", outcome)]);
    assertMatch(await ways(none.group, 2), /^b: .* b: /);
    assertEquals(none.reports, []);
  });
}

for (const code of ["refused", "unreachable", "resolve"] as const) {
  test(`${code} of the target, as a member tells it, is final and says nothing against the member`, async () => {
    const [a, b] = [new ScriptedHop("a", fault(code, "request", "target")), new ScriptedHop("b")];
    const { group, reports } = groupOf("failover", [a, b]);
    assertEquals(await ways(group, 3), Array(3).fill(`a: ${code}`).join(" "));
    assertEquals([a.dials, b.dials, reports], [3, 0, []]);
  });
}

test("what a member can't carry, and what this machine lacks, is asked of the next one and held against nobody", async () => {
  for (const mine of [fault("address", "request", "local"), fault("limit", "connect")]) {
    const { group, reports } = groupOf("failover", [new ScriptedHop("a", mine), new ScriptedHop("b")]);
    assertEquals([await ways(group, 2), reports], ["b b", []]);
  }
});

test("a member that is down is left alone for a time that doubles, then tried by one dial until it works", async () => {
  const a = new ScriptedHop("a", faults.refuses, faults.refuses, faults.refuses, "ok");
  const { group, clock, reports } = groupOf("failover", [a, new ScriptedHop("b")]);
  const rests: number[] = [];
  for (let failures = 1; failures <= 3; failures++) {
    const before = a.dials;
    for (let waited = 0; a.dials === before; waited += 50) {
      assertEquals(await way(group), "b");
      if (a.dials > before) rests.push(waited);
      else await clock.pass(50);
    }
  }
  // Chance says 0.5: three quarters of 1 s, of 2 s, and so on.
  assertEquals(rests, [0, 750, 1500]);
  await clock.pass(3000);
  assertEquals([await ways(group, 2), reports], ["a a", ["down a", "up a"]]);
});

test("of many dials at once, one tries the member that was down, and the others take one that works", async () => {
  const gate = Promise.withResolvers<void>();
  const a = new ScriptedHop("a", faults.refuses, gate.promise, "ok");
  const { group, clock } = groupOf("failover", [a, new ScriptedHop("b")]);
  await way(group);
  await clock.pass(1000);
  const dials = Promise.all(Array.from({ length: 10 }, () => way(group)));
  await microtasks();
  assertEquals(a.dials, 2);
  gate.resolve();
  assertEquals((await dials).sort().join(" "), "a b b b b b b b b b");
  assertEquals(await way(group), "a");
});

test("a probe that is given up, or that tells of the target, leaves the next one its turn", async () => {
  const a = new ScriptedHop("a", faults.refuses, new Promise(() => {}), faults.gone, "ok");
  const { group, clock, reports } = groupOf("failover", [a, new ScriptedHop("b")]);
  await way(group);
  await clock.pass(1000);
  const client = new AbortController();
  const left = rejectionOf(group.dial(target, { signal: client.signal }));
  await microtasks();
  const reason = new Error("gone");
  client.abort(reason);
  assertStrictEquals(await left, reason);
  assertEquals(reports, ["down a"]);
  assertEquals(await way(group), "a: refused");
  assertEquals(reports, ["down a", "up a"]);
});

test("when all are down they are tried all the same, the one that failed longest ago first", async () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => new ScriptedHop(name, faults.refuses));
  const { group, clock, health } = groupOf("failover", [a, b, c]);
  assertEquals(await way(group), "c: refused");
  await clock.pass(10);
  b.outcomes = [faults.garbage];
  // a failed first, then b, then c; a's turn comes first again, and it fails last now.
  assertEquals(await way(group), "c: refused");
  c.outcomes = ["ok"];
  await clock.pass(10);
  assertEquals(await way(group), "c");
  assertEquals([health.a.down, health.b.down, health.c.down], [true, true, false]);
});

test("the error that says most is told: of the target before that of a member that is down", async () => {
  const { group } = groupOf("failover", [
    new ScriptedHop("a", fault("denied", "request", "upstream", "not allowed")),
    new ScriptedHop("b", faults.refuses),
  ]);
  const error = await failureOf(group.dial(target));
  assertEquals([error.message, error.hop, error.label], ["not allowed", 1, "socks5://a.example"]);
  assertEquals(await way(group), "a: not allowed");
});

test("a silent member gets company, and is down when that is faster", async () => {
  const [a, b] = [new ScriptedHop("a", new Promise(() => {})), new ScriptedHop("b")];
  const { group, clock, reports } = groupOf("failover", [a, b]);
  const first = way(group);
  await clock.pass(2499);
  assertEquals(b.dials, 0);
  await clock.pass(1);
  assertEquals([await first, reports], ["b", ["down a"]]);
  assertEquals(a.signals[0].aborted, true, "the loser is cancelled");
  assertEquals([await way(group), a.dials, clock.waiting], ["b", 1, 0]);
});

test("a member that was quick is not waited for as long, and a slow one may still win", async () => {
  const gate = Promise.withResolvers<void>();
  const [a, b] = [new ScriptedHop("a", "ok", gate.promise), new ScriptedHop("b", new Promise(() => {}))];
  const { group, clock, reports, health } = groupOf("failover", [a, b]);
  await way(group);
  const second = way(group);
  await clock.pass(1000);
  assertEquals(b.dials, 1);
  gate.resolve();
  assertEquals([await second, reports], ["a", []]);
  await microtasks();
  assertEquals([health.a.tunnels, health.b.tunnels], [0, 0]);
  assertEquals(health.a.dialMs, 250, "a quarter of 1,000 ms, three quarters of none");
});

test("silence is nobody's fault when nobody answers", async () => {
  const silent = fault("timeout", "request");
  const gate = Promise.withResolvers<void>();
  const { group, clock, reports } = groupOf("failover", [
    new ScriptedHop("a", gate.promise.then(() => Promise.reject(silent))),
    new ScriptedHop("b", silent),
  ]);
  const dialled = way(group);
  await clock.pass(2500);
  gate.resolve();
  assertEquals(await dialled, "a: timeout");
  assertEquals(reports, []);
});

test("a connection that comes too late is closed", async () => {
  const gate = Promise.withResolvers<void>();
  const late = new FakeConn();
  const { group, clock } = groupOf("failover", [
    new ScriptedHop("a", new Promise(() => {})),
    new ScriptedHop("b"),
  ]);
  // It does not heed its signal.
  group.members[0].dialer.dial = async () => {
    await gate.promise;
    return late;
  };
  const dialled = way(group);
  await clock.pass(2500);
  assertEquals(await dialled, "b");
  gate.resolve();
  await microtasks();
  assertEquals(late.calls, ["close"]);
});

test("a dial that is cancelled cancels what runs, and nothing is held against anybody", async () => {
  const a = new ScriptedHop("a", new Promise(() => {}));
  const { group, clock, reports, health } = groupOf("failover", [a, new ScriptedHop("b")]);
  const client = new AbortController();
  const dialled = rejectionOf(group.dial(target, { signal: client.signal }));
  const reason = new Error("gone");
  client.abort(reason);
  assertStrictEquals(await dialled, reason);
  assertStrictEquals(
    await rejectionOf(group.dial(target, { signal: client.signal })),
    reason,
    "and before it began",
  );
  await microtasks();
  assertEquals([a.signals[0].reason, reports, clock.waiting, health.a.tunnels], [reason, [], 0, 0]);
});

test("dials that fail together are one failure", async () => {
  const a = new ScriptedHop("a", faults.garbage);
  const { group, clock, health } = groupOf("failover", [a, new ScriptedHop("b")]);
  await Promise.all(Array.from({ length: 20 }, () => way(group)));
  assertEquals(health.a.rest, 750);
  await clock.pass(750);
  await way(group);
  assertEquals(health.a.rest, 1500);
});

test("what stops a dial before the members is not theirs: no other is tried", async () => {
  const [a, b] = [new ScriptedHop("a"), new ScriptedHop("b")];
  const near = new ScriptedHop("near", fault("auth", "auth"));
  const { group, reports } = groupOf("failover", [a, b], { next: near.wrap(network) });
  assertEquals(await way(group), "near>a: auth");
  assertEquals([a.dials, b.dials, reports], [1, 0, []]);
  const error = await failureOf(group.dial(target));
  assertEquals([error.hop, error.label], [1, "socks5://near.example"]);
});

test("that the hop before can't reach a member is the member's fault", async () => {
  const near = new ScriptedHop("near", faults.gone, "ok");
  const { group, reports } = groupOf("failover", [new ScriptedHop("a"), new ScriptedHop("b")], {
    next: near.wrap(network),
  });
  assertEquals([await way(group), reports], ["near>b", ["down a"]]);
});

test("positions count along the way that was taken, behind a group and within", async () => {
  const near = new ScriptedHop("near");
  const pair = new ScriptedHop("two");
  const two = { name: "two", wrap: (next: Dialer) => pair.wrap(new ScriptedHop("one").wrap(next)) };
  const { group } = groupOf("failover", [two, new ScriptedHop("b")], {
    next: near.wrap(network),
  });
  const exit = new ScriptedHop("exit", fault("denied", "request"), fault("denied", "request"), "ok");
  const chain = exit.wrap(group);
  const trail = new Trail();
  const error = await failureOf(chain.dial(target, { ...background, trail }));
  assertEquals([error.hop, trail.via.join(">")], [4, "near>one>two>exit"]);
  pair.outcomes = [fault("protocol", "auth")];
  const other = await failureOf(chain.dial(target, { ...background, trail: new Trail() }));
  assertEquals(other.hop, 3, "near, b, exit");
  assertEquals(await way(chain), "near>b>exit");
});

test("a group within a group is a member like any other", async () => {
  const [a, b, c] = [
    new ScriptedHop("a", faults.refuses),
    new ScriptedHop("b", faults.refuses),
    new ScriptedHop("c"),
  ];
  const inner = groupOf("failover", [a, b]);
  const outer = groupOf("failover", [{ name: "inner", wrap: () => inner.group }, c]);
  assertEquals(await ways(outer.group, 2), "c c");
  assertEquals([inner.reports, outer.reports], [["down a", "down b"], ["down inner"]]);
  b.outcomes = ["ok"];
  await outer.clock.pass(1000);
  await inner.clock.pass(1000);
  assertEquals(await way(outer.group), "b");
});

test("tunnels are counted until they are over, failed ones not at all", async () => {
  const [a, b] = [new ScriptedHop("a", faults.garbage), new ScriptedHop("b")];
  const { group, health } = groupOf("failover", [a, b]);
  const trails = [new Trail(), new Trail()];
  for (const trail of trails) await group.dial(target, { ...background, trail });
  assertEquals([health.a.tunnels, health.b.tunnels], [0, 2]);
  trails[0].leave();
  trails[0].leave();
  assertEquals(health.b.tunnels, 1);
  trails[0].enter();
  assertEquals(health.b.tunnels, 2);
  for (const trail of trails) trail.leave();
  assertEquals(health.b.tunnels, 0);
  await group.dial(target);
  assertEquals(health.b.tunnels, 0, "nobody would tell when it is over");
});

test("a member is told all that its dialer was told", async () => {
  const a = new ScriptedHop("a");
  const { group } = groupOf("failover", [a]);
  const outgoing = { add: () => {}, delete: () => {} };
  const client = { source: { hostname: "192.0.2.1", port: 1 } };
  await group.dial(target, { ...background, outgoing, client });
  assertStrictEquals(a.contexts[0].outgoing, outgoing);
  assertStrictEquals(a.contexts[0].client, client);
});
