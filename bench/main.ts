/**
 * Hopline beside its peers: CPU, speed, latency, memory. See `bench/README.md`.
 *
 *   deno task bench [--scenarios REGEXP] [--proxies REGEXP] [--rounds N] [--seconds S] [--count N] [--idle N]
 *                   [--binary FILE] [--out DIRECTORY]
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { authority, type Certificate } from "../tests/support/certificates.ts";
import { locate } from "../tests/support/programs.ts";
import { freePort, temporaryDirectory } from "../tests/support/temporary.ts";
import { barTable } from "./bar.ts";
import { type Contender, loadAlone, type Place, type Role } from "./contender.ts";
import { hoplines } from "./hopline.ts";
import type { Way } from "./load/tunnel.ts";
import { peers } from "./peers.ts";
import { plot } from "./plot.ts";
import { asData, type Result } from "./results.ts";
import { type Generator, generator, run } from "./running.ts";
import { type Bed, type Scenario, scenarios, type Sizes, type Values } from "./scenarios.ts";
import { tables } from "./table.ts";

const { values: options } = parseArgs({
  options: {
    scenarios: { type: "string", default: "" },
    proxies: { type: "string", default: "" },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "2" },
    count: { type: "string", default: "1000000" },
    idle: { type: "string", default: "9000" },
    binary: { type: "string" },
    out: { type: "string" },
  },
});
const rounds = Number(options.rounds);
const machine = `${cpus()[0].model}, ${cpus().length} cores, Linux ${release()}`;
const sizes: Sizes = {
  seconds: Number(options.seconds),
  count: Number(options.count),
  idle: Number(options.idle),
};

using files = temporaryDirectory();
const certificate = await (await authority(files, "bench")).issue("127.0.0.1");
const missing: string[] = [];
const contenders = [...hoplines(options.binary), ...peers.filter(installed), loadAlone]
  .filter(({ name }) => new RegExp(options.proxies, "i").test(name));
const results: Result[] = scenarios.filter(({ name }) => new RegExp(options.scenarios).test(name))
  .map((scenario) => ({
    scenario,
    rows: contenders.filter(({ only }) => only?.test(scenario.name) ?? true).flatMap(
      ({ name, ours, roles }) => {
        const role = scenario.roles.find((role) => role in roles);
        return role === undefined ? [] : [{ name, ours, role, rounds: [] }];
      },
    ),
  }));

for (let round = 1; round <= rounds; round++) {
  for (const { scenario, rows } of results) {
    console.error(`round ${round} of ${rounds}: ${scenario.title}`);
    for (const row of rows) {
      const contender = contenders.find(({ name }) => name === row.name)!;
      try {
        row.rounds.push(await measure(scenario, contender, row.role, certificate));
      } catch (error) {
        row.failure = error instanceof Error ? error.message : String(error);
        console.error(`  ${row.name}: ${row.failure}`);
      }
    }
  }
  if (options.out !== undefined) keep(options.out, round);
}
console.log(report(rounds));

function installed({ name, programs }: Contender): boolean {
  try {
    programs.forEach((program) => locate(program));
    return true;
  } catch {
    missing.push(name);
    return false;
  }
}

/** One scenario with one contender, in processes of their own. */
async function measure(
  scenario: Scenario,
  contender: Contender,
  role: Role,
  certificate: Certificate,
): Promise<Values> {
  using directory = temporaryDirectory();
  using load = await generator();
  const [port, inner] = [await freePort(), await freePort()];
  const place: Place = {
    port,
    inner,
    targets: load.targets,
    certificate,
    directory,
    tunnels: sizes.idle + 100,
  };
  using running = await run(contender, role, place);
  const way = wayTo(contender, role, port, load.targets);
  const perform: Bed["perform"] = (kind, tunnels, part = 1) => {
    const count = kind === "open" ? tunnels : sizes.count;
    return load.perform({ load: kind, way, bounds: { count, tunnels, seconds: sizes.seconds * part } });
  };
  return await scenario.measure({ running, sizes, perform });
}

function wayTo(contender: Contender, role: Role, port: number, targets: Generator["targets"]): Way {
  const protocol = role === "http" || role === "tcp" ? role : "socks5";
  const own = role === "plain" ? targets.http : targets.hop1;
  return {
    protocol,
    tls: role === "tls",
    port: contender === loadAlone ? own : port,
    target: targets.tunnel,
  };
}

function report(done: number): string {
  const about = `${done} interleaved rounds of ${sizes.seconds} s on ${machine}, ` +
    `load average at the end ${loadavg()[0].toFixed(1)}: medians (least to most)`;
  const absent = missing.length > 0 ? `\nNot on this machine: ${missing.join(", ")}.\n` : "";
  return `${about}.\n${absent}\n${tables(results)}\n### The bar\n\n${barTable(results)}`;
}

/** Writes what there is after so many rounds: an end before the last of them loses nothing. */
function keep(directory: string, done: number): void {
  mkdirSync(directory, { recursive: true });
  const data = {
    date: new Date().toISOString(),
    machine,
    rounds: done,
    sizes,
    missing,
    scenarios: asData(results),
  };
  writeFileSync(join(directory, "results.json"), JSON.stringify(data, null, 1) + "\n");
  writeFileSync(join(directory, "results.md"), `# Results\n\n${report(done)}`);
  writeFileSync(join(directory, "results.svg"), plot(results));
}
