/**
 * What the bench makes of its numbers.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { barTable } from "../../bench/bar.ts";
import { loadAlone, type Role } from "../../bench/contender.ts";
import { onBun, onDeno, withoutSplice } from "../../bench/hopline.ts";
import { bestPeer, type Result, type Row, spread } from "../../bench/results.ts";
import { scenarios } from "../../bench/scenarios.ts";
import { tables } from "../../bench/table.ts";

/** A scenario in which each contender has these numbers, one a round, for its first metric. */
function result(name: string, numbers: Record<string, number[]>, roles: Record<string, Role> = {}): Result {
  const scenario = scenarios.find((one) => one.name === name)!;
  const rows = Object.entries(numbers).map(([contender, all]): Row => ({
    name: contender,
    ours: contender.startsWith("Hopline"),
    role: roles[contender] ?? "socks5",
    rounds: all.map((number) => ({ [scenario.metrics[0].name]: number })),
  }));
  return { scenario, rows };
}

/** The line of the bar's table that has this in its title, as cells. */
function line(results: readonly Result[], title: string): string[] {
  const found = barTable(results).split("\n").find((text) => text.includes(title))!;
  return found.split("|").slice(2, 4).map((cell) => cell.trim());
}

test("a spread is the median, the least and the most, and nothing where nothing was measured", () => {
  const [row] = result("sessions-socks5", { odd: [5, 1, 3] }).rows;
  assertEquals(spread(row, "µs CPU/session"), { median: 3, min: 1, max: 5 });
  const [even] = result("sessions-socks5", { even: [4, 1, 2, 9] }).rows;
  assertEquals(spread(even, "µs CPU/session"), { median: 3, min: 1, max: 9 });
  assertEquals(spread(even, "p99 ms"), undefined);
});

test("the best peer is neither Hopline nor the load alone", () => {
  const less = result("sessions-socks5", {
    [onBun]: [1],
    [loadAlone.name]: [0],
    microsocks: [7],
    danted: [8],
  });
  assertEquals(bestPeer(less, less.scenario.metrics[0])?.row.name, "microsocks");
  const more = result("round-trips", { [onBun]: [9], [loadAlone.name]: [99], microsocks: [7], danted: [8] });
  assertEquals(bestPeer(more, more.scenario.metrics[0])?.row.name, "danted");
});

test("the bar is met or not met by the ratio of medians", () => {
  const results = [
    result("sessions-socks5", { [onBun]: [100, 90, 200], [onDeno]: [130], microsocks: [100] }),
  ];
  assertEquals(line(results, "SOCKS5 session"), ["at most 1: met, 1.00", "at most 1.2: NOT MET, 1.30"]);
  assertEquals(line(results, "CONNECT session"), ["at most 0.8: not measured", "at most 1: not measured"]);
});

test("round trips count against peers with a handshake alone", () => {
  const numbers = { [onBun]: [120], [onDeno]: [90], danted: [100], HAProxy: [200] };
  const results = [result("round-trips", numbers, { HAProxy: "tcp" })];
  assertEquals(line(results, "round trips"), ["at least 1.15: met, 1.20", "at least 1: NOT MET, 0.90"]);
});

test("bulk is judged with the kernel relay and without it, and every direction counts", () => {
  const names = scenarios.map(({ name }) => name).filter((name) => name.startsWith("bulk-plain"));
  const numbers = { [onBun]: [0.3], [onBun + withoutSplice]: [0.6], [onDeno]: [0.9], HAProxy: [1] };
  const results = names.map((name) => result(name, numbers));
  const [bun, deno] = line(results, "without splice");
  assertMatch(bun, /^at most 0.65: met, 0.60 down-1, /);
  assertMatch(deno, /^at most 1: met, 0.90 down-1, /);
  const [withIt, absent] = line(results, "with splice");
  assertMatch(withIt, /^at most 0.4: met, 0.30 /);
  assertEquals(absent, "at most 0.5: not measured");
  results[5] = result(names[5], { ...numbers, [onBun]: [0.5] });
  assertMatch(line(results, "with splice")[0], /^at most 0.4: NOT MET, 0.30 down-1, .* 0.50 both-16$/);
});

test("a table has a row for each proxy that was measured, and a sentence for each that was not", () => {
  const one = result("sessions-socks5", { [onBun]: [150, 160], microsocks: [100, 100], danted: [] });
  one.rows[2].failure = "did not listen:\n  no such user";
  const text = tables([one]);
  assertMatch(text, /^### SOCKS5 sessions\n/);
  assertMatch(text, /\| Hopline on Bun \| 155 \(150 to 160\) \| 1\.55 +\|/);
  assertMatch(text, /danted failed: did not listen: no such user\n/);
});
