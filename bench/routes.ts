/**
 * How long it takes to find the route of a request among many rules, by name, by address and where none matches.
 *
 * ```sh
 * deno run -A bench/routes.ts
 * bun bench/routes.ts
 * ```
 *
 * @module
 */
import process from "node:process";
import { parseRuleList } from "../src/config/rule_list.ts";
import type { Pattern } from "../src/routing/pattern.ts";
import { factsOf, ruleOf, unmet } from "../src/routing/rule.ts";
import { entriesOf, RuleIndex } from "../src/routing/rule_index.ts";

const collect = globalThis as { gc?: () => void; Bun?: { gc(force: boolean): void } };

function memory(): number {
  collect.gc?.();
  collect.Bun?.gc(true);
  const { heapUsed } = process.memoryUsage();
  return heapUsed;
}

/** Half names and names with `*.`, a third blocks of both families, the rest ports. */
function rule(n: number): string {
  const octets = `${1 + n % 223}.${n >> 8 & 255}.${n & 255}`;
  return [
    `host${n}.example${n % 97}.com`,
    `*.zone${n}.example${n % 97}.net`,
    `ads${n}.test`,
    `${octets}.0/24`,
    `[2001:db8:${(n >> 8).toString(16)}:${(n & 255).toString(16)}::/64]:443`,
    `*.port${n}.example.org:${1 + n % 65535}`,
  ][n % 6];
}

function target(n: number): { hostname: string; port: number } {
  const hostname = [
    `host${n}.example${n % 97}.com`,
    `a.b.zone${n}.example${n % 97}.net`,
    `ads${n}.test`,
    `${1 + n % 223}.${n >> 8 & 255}.${n & 255}.7`,
    `2001:db8:${(n >> 8).toString(16)}:${(n & 255).toString(16)}::7`,
    `www.nobody${n}.example`,
  ][n % 6];
  return { hostname, port: 443 };
}

function time(rounds: number, work: (n: number) => void): number {
  for (let n = 0; n < Math.min(rounds, 20_000); n++) work(n);
  const runs = Array.from({ length: 5 }, () => {
    const start = performance.now();
    for (let n = 0; n < rounds; n++) work(n);
    return (performance.now() - start) * 1e6 / rounds;
  });
  return runs.sort((a, b) => a - b)[2];
}

const runtime = "Bun" in globalThis ? "bun" : "deno";
console.log("runtime rules   routes  parse-ms build-ms  MB     ns/match  ns/match-one-by-one");
for (const count of [10, 1_000, 100_000]) {
  const text = Array.from({ length: count }, (_, n) => rule(n)).join("\n");
  for (const routes of [1, count]) {
    const before = memory();
    const start = performance.now();
    const patterns: Pattern[] = parseRuleList(text, "rules");
    const parsed = performance.now();
    const rules = (routes === 1 ? [patterns] : patterns.map((one) => [one])).map((to) => ruleOf({ to }));
    const index = new RuleIndex(entriesOf(rules));
    const built = performance.now();
    const size = (memory() - before) / 2 ** 20;
    const requests = Array.from({ length: 5000 }, (_, n) => factsOf({ target: target(n * 7919 % count) }));
    let found = 0;
    const each = time(200_000, (n) => found += index.find(requests[n % 5000]) === undefined ? 0 : 1);
    const naive = time(Math.max(20, 2_000_000 / count), (n) => {
      const facts = requests[n % 5000];
      found += rules.some((one) => unmet(one, facts) === undefined) ? 1 : 0;
    });
    if (found === 0) throw new Error("nothing was found");
    console.log(
      [
        runtime.padEnd(7),
        String(count).padEnd(7),
        String(routes).padEnd(7),
        (parsed - start).toFixed(1).padEnd(8),
        (built - parsed).toFixed(1).padEnd(8),
        size.toFixed(1).padEnd(6),
        each.toFixed(0).padEnd(9),
        naive.toFixed(0),
      ].join(" "),
    );
  }
}
