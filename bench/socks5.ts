/**
 * One SOCKS5 listener beside microsocks: sessions a second, CPU for each session and for each GB, memory for each idle
 * tunnel. Rounds are interleaved, the proxy is pinned to one core and the load to the other; medians are printed.
 *
 *   deno run -A bench/socks5.ts [ROUNDS] [SESSIONS] [MIB] [IDLE]
 *
 * CPU is the proxy's own user and system time, by /proc; memory is its resident set less what it was before.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import process from "node:process";

const [rounds = 5, sessions = 4000, mib = 2048, idle = 1000] = process.argv.slice(2).map(Number);
const bun = process.env.BUN ?? "bun";
const deno = process.env.DENO ?? "deno";

/** What a round measured of one proxy. */
interface Round {
  readonly sessionsPerSecond: number;
  readonly cpuPerSession: number;
  readonly cpuPerGb: number;
  readonly idleKb: number;
}

const serve = (port: number) => ["-L", `socks5://127.0.0.1:${port}`, "--log-level", "error"];

const proxies: Record<string, (port: number) => [string, string[]]> = {
  "hopline on Bun": (port) => [bun, ["mod.ts", ...serve(port)]],
  "hopline on Deno": (port) => [deno, ["run", "-A", "mod.ts", ...serve(port)]],
  "microsocks": (port) => ["microsocks", ["-i", "127.0.0.1", "-p", String(port)]],
};

async function measure(name: string): Promise<Round> {
  const busy = await started(name, async (proxy, port) => {
    await load("sessions", port, 500, 16);
    const before = cpuSeconds(proxy);
    const run = await load("sessions", port, sessions, 32);
    const between = cpuSeconds(proxy);
    const moved = await load("bulk", port, mib, 1);
    return {
      sessionsPerSecond: run.done / run.seconds,
      cpuPerSession: (between - before) / run.done * 1e6,
      cpuPerGb: (cpuSeconds(proxy) - between) / (moved.done / 1e9),
    };
  });
  return { ...busy, idleKb: await started(name, idleMemory) };
}

async function started<T>(name: string, work: (proxy: ChildProcess, port: number) => Promise<T>): Promise<T> {
  const port = await freePort();
  const [program, args] = proxies[name](port);
  const proxy = spawn("taskset", ["-c", "0", program, ...args], { stdio: "ignore" });
  try {
    await listening(port);
    return await work(proxy, port);
  } finally {
    proxy.kill("SIGKILL");
  }
}

/** Memory for each idle tunnel of a fresh process, once a few have come and gone. */
async function idleMemory(proxy: ChildProcess, port: number): Promise<number> {
  await load("sessions", port, 200, 16);
  const before = residentKb(proxy);
  const holder = spawn("taskset", ["-c", "1", bun, "bench/load.ts", "idle", String(port), String(idle)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await new Promise<void>((open, fail) => {
    holder.stdout.once("data", () => open());
    holder.once("exit", () => fail(new Error("the idle tunnels did not open")));
  });
  const kb = (residentKb(proxy) - before) / idle;
  holder.kill("SIGKILL");
  return kb;
}

function load(mode: string, port: number, ...numbers: number[]): Promise<{ done: number; seconds: number }> {
  const child = spawn("taskset", ["-c", "1", bun, "bench/load.ts", mode, ...[port, ...numbers].map(String)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => output += chunk);
  return new Promise((done, fail) => {
    child.once(
      "close",
      (code) => code === 0 ? done(JSON.parse(output)) : fail(new Error(`the load ended with ${code}`)),
    );
  });
}

/** User and system time of a process, its threads included. */
function cpuSeconds({ pid }: ChildProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const [utime, stime] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13).map(Number);
  return (utime + stime) / 100;
}

function residentKb({ pid }: ChildProcess): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((ready) => server.once("listening", ready));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const open = await new Promise<boolean>((answer) => {
      const socket = connect(port, "127.0.0.1", () => answer(true));
      socket.once("error", () => answer(false));
      socket.once("connect", () => socket.destroy());
    });
    if (open) return;
    await new Promise((wait) => setTimeout(wait, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}

const results = new Map(Object.keys(proxies).map((name) => [name, [] as Round[]]));
for (let round = 0; round < rounds; round++) {
  for (const name of results.keys()) results.get(name)!.push(await measure(name));
}

const columns: [string, keyof Round, number][] = [
  ["sessions/s", "sessionsPerSecond", 0],
  ["us CPU/session", "cpuPerSession", 0],
  ["CPU s/GB", "cpuPerGb", 2],
  ["KB/idle tunnel", "idleKb", 1],
];
console.log(`medians (least to most) of ${rounds} interleaved rounds`);
console.log(["proxy".padEnd(18), ...columns.map(([title]) => title.padEnd(24))].join(" "));
for (const [name, all] of results) {
  const cells = columns.map(([, key, digits]) => {
    const sorted = all.map((round) => round[key]).sort((a, b) => a - b);
    const show = (n: number) => n.toFixed(digits);
    const median = sorted[sorted.length >> 1];
    return `${show(median)} (${show(sorted[0])} to ${show(sorted.at(-1)!)})`.padEnd(24);
  });
  console.log([name.padEnd(18), ...cells].join(" "));
}
