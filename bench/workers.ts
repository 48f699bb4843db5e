/**
 * What several workers give, and what they cost: SOCKS5 sessions a second, and processor time of all processes for
 * each.
 *
 *   bun bench/workers.ts [ROUNDS]
 *
 * Both runtimes, each with 1 worker and with 2, interleaved for ROUNDS (3) of 4 seconds each, 64 sessions at a time, and
 * a line in the log for each as by default. Nothing is pinned: the load shares the machine with what it measures, so the
 * sessions a second say something only where there are more cores than busy processes.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { root } from "../tests/support/hopline.ts";
import { cpuSeconds } from "./family.ts";
import type { Answer, Command, Greeting } from "./load/main.ts";
import { executable } from "./runtimes.ts";

const rounds = Number(process.argv[2] ?? 3);
const main = join(root, "mod.ts");
const runtimes = { Bun: [executable("bun"), main], Deno: [executable("deno"), "run", "-A", main] };
const children = new Set<ChildProcess>();
// By SIGTERM, so that whoever has children ends them.
process.on("exit", () => children.forEach((child) => child.kill("SIGTERM")));

/** A program, and what it writes there, line by line. */
function begin([program, ...args]: readonly string[], there: "stdout" | "stderr") {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], cwd: root });
  children.add(child);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  ended.then(() => children.delete(child));
  const lines = createInterface({ input: child[there]! });
  return { child, ended, lines };
}

const load = begin([executable("bun"), join(root, "bench/load/main.ts")], "stdout");
const answers = load.lines[Symbol.asyncIterator]();
const answer = async (): Promise<string> => (await answers.next()).value!;
const targets: Greeting = JSON.parse(await answer());

async function sessions(port: number, seconds: number): Promise<Answer> {
  const way = { protocol: "socks5", tls: false, port, target: targets.tunnel } as const;
  const command: Command = { load: "sessions", way, bounds: { count: 1e9, seconds, tunnels: 64 } };
  load.child.stdin!.write(JSON.stringify(command) + "\n");
  return JSON.parse(await answer());
}

/** One run: sessions a second, and microseconds for each. */
async function measure(command: readonly string[], workers: number): Promise<[number, number]> {
  const args = ["-L", "127.0.0.1:0", "--workers", String(workers)];
  const { child, ended, lines } = begin([...command, ...args], "stderr");
  const port = await new Promise<number>((resolve) =>
    lines.on("line", (line) => {
      const ready = /listener\.ready .*:(\d+)$/.exec(line);
      if (ready !== null) resolve(Number(ready[1]));
    })
  );
  await sessions(port, 1);
  const before = cpuSeconds([child.pid!]);
  const { done, failed, seconds } = await sessions(port, 4);
  const cpu = cpuSeconds([child.pid!]) - before;
  if (failed > 0) console.log(`${failed} sessions failed`);
  child.kill("SIGTERM");
  await ended;
  return [done / seconds, cpu / done * 1e6];
}

const results = new Map<string, [number, number][]>();
for (let round = 0; round < rounds; round++) {
  for (const [runtime, command] of Object.entries(runtimes)) {
    for (const workers of [1, 2]) {
      const name = `${runtime}, ${workers} ${workers === 1 ? "worker" : "workers"}`;
      results.set(name, [...results.get(name) ?? [], await measure(command, workers)]);
    }
  }
}
const spread = (values: number[]) => {
  const [sorted, middle] = [values.toSorted((a, b) => a - b), values.length >> 1];
  return `${sorted[middle].toFixed(0)} (${sorted[0].toFixed(0)} to ${sorted.at(-1)!.toFixed(0)})`;
};
console.log("| | sessions a second | µs of processor time for each |\n| --- | --- | --- |");
for (const [name, runs] of results) {
  console.log(`| ${name} | ${spread(runs.map(([rate]) => rate))} | ${spread(runs.map(([, cpu]) => cpu))} |`);
}
process.exit(0);
