/**
 * The bench still runs: every kind of scenario with tiny numbers, with Hopline on the runtime that runs this test.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { root } from "../support/hopline.ts";
import { run } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";

interface Results {
  readonly scenarios: readonly {
    readonly name: string;
    readonly rows: readonly {
      readonly name: string;
      readonly failure?: string;
      readonly rounds: readonly unknown[];
    }[];
  }[];
}

const onBun = "Bun" in globalThis;
const runtime = onBun ? "Hopline on Bun" : "Hopline on Deno";
const command = [...(onBun ? [] : ["run", "-A", "--no-check"]), join(root, "bench/main.ts")];
const sizes = ["--rounds", "1", "--seconds", "0.1", "--count", "8", "--idle", "4"];

async function bench(
  scenarios: string,
  proxies: string,
  more: readonly string[] = [],
): Promise<{ results: Results; table: string; svg: string }> {
  using directory = temporaryDirectory();
  const what = ["--scenarios", scenarios, "--proxies", proxies, ...more];
  const { code, stdout, stderr } = await run(
    process.execPath,
    [...command, ...sizes, ...what, "--out", directory.path],
    { timeout: 50_000 },
  );
  assertEquals(code, 0, stderr);
  const file = (name: string) => readFileSync(directory.join(name), "utf8");
  return { results: JSON.parse(file("results.json")), table: stdout.toString(), svg: file("results.svg") };
}

/** The names of those that were measured, and of those that were not. */
function outcome({ scenarios }: Results): { measured: string[]; failed: string[] } {
  const rows = scenarios.flatMap(({ rows }) => rows);
  const names = (failed: boolean) =>
    [...new Set(rows.filter(({ failure }) => (failure !== undefined) === failed).map(({ name }) => name))]
      .sort();
  return { measured: names(false), failed: names(true) };
}

test("sessions and requests through Hopline are measured", async () => {
  const { results, table, svg } = await bench(
    "^(sessions-(socks5|connect|tls|h2|chain3)|requests)$",
    `^${runtime}$`,
  );
  assertEquals(results.scenarios.map(({ rows }) => rows.length), Array(6).fill(1), table);
  assertEquals(outcome(results), { measured: [runtime], failed: [] }, table);
  assert(table.includes("### The bar"), table);
  assert(svg.startsWith("<svg") && svg.includes(runtime), svg);
});

test("tunnels through Hopline are measured", async () => {
  const { results, table } = await bench(
    "^(round-trips|bulk-.*-both-1|bulk-plain-up-1|idle|start)$",
    `^${runtime}$`,
  );
  assertEquals(results.scenarios.map(({ rows }) => rows.length), Array(6).fill(1), table);
  assertEquals(outcome(results), { measured: [runtime], failed: [] }, table);
});

test("peers are measured, and a proxy that does not start is said to have failed", async () => {
  const proxies = "^(HAProxy|tinyproxy|nghttpx|Hopline, binary$|no proxy)";
  const { results, table } = await bench("^(sessions-(socks5|h2|tls)|requests)$", proxies, [
    "--binary",
    "/bin/false",
  ]);
  assertEquals(outcome(results), {
    measured: ["HAProxy + microsocks", "nghttpx + squid", "no proxy: the load alone", "tinyproxy"],
    failed: ["Hopline, binary"],
  }, table);
  assert(table.includes("Hopline, binary failed: did not listen"), table);
});
