/**
 * What is measured: one load in one role each.
 *
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Role } from "./contender.ts";
import { cpuSeconds, memoryKb } from "./family.ts";
import type { Answer, Load } from "./load/main.ts";
import type { Running } from "./running.ts";

/** A number that a scenario yields. */
export interface Metric {
  readonly name: string;
  readonly better: "less" | "more";
  readonly digits: number;
}

/** How much of everything. */
export interface Sizes {
  /** How long each load lasts. */
  readonly seconds: number;
  /** The most sessions, round trips or requests of a load. */
  readonly count: number;
  /** Idle tunnels. */
  readonly idle: number;
}

/** A contender that runs, and a way to load it. */
export interface Bed {
  readonly running: Running;
  readonly sizes: Sizes;
  perform(load: Load, tunnels: number, part?: number): Promise<Answer>;
}

/** Numbers by the names of their metrics. */
export type Values = Readonly<Record<string, number>>;

/** One table. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** A contender takes the first of them that it can play. */
  readonly roles: readonly Role[];
  /** The first is the one that contenders are compared by. */
  readonly metrics: readonly Metric[];
  measure(bed: Bed): Promise<Values>;
}

/** How busy both sides were, in percent of a core; where the load is near 100, it was the load that was measured. */
const use: readonly Metric[] = [
  { name: "proxy %", better: "less", digits: 0 },
  { name: "load %", better: "less", digits: 0 },
];
const latency: readonly Metric[] = [
  { name: "p50 ms", better: "less", digits: 2 },
  { name: "p99 ms", better: "less", digits: 2 },
];

/**
 * How much longer the warm-up lasts than what is measured. Servers run for days; just-in-time compilers need some ten
 * thousand sessions.
 */
const warmUp = 1.5;

/** Performs a load after one that warms up, and says what it took of the proxy's time besides. */
async function timed(
  bed: Bed,
  load: Load,
  tunnels: number,
): Promise<{ answer: Answer; cpu: number; use: Values }> {
  await bed.perform(load, tunnels, warmUp);
  const before = cpuSeconds(bed.running.pids);
  const answer = await bed.perform(load, tunnels);
  const cpu = cpuSeconds(bed.running.pids) - before;
  if (answer.done === 0) throw new Error(`nothing got through, ${answer.failed} failed`);
  if (answer.failed > answer.done / 100) {
    throw new Error(`${answer.failed} of ${answer.failed + answer.done} failed`);
  }
  const percent = (seconds: number) => seconds / answer.seconds * 100;
  return { answer, cpu, use: { "proxy %": percent(cpu), "load %": percent(answer.cpu) } };
}

/** Sessions, requests or round trips: what is counted one by one. */
function counted(
  one: string,
  load: Load,
  tunnels: number,
  roles: readonly Role[],
  name: string,
  title: string,
): Scenario {
  const [cpuName, rateName] = [`µs CPU/${one}`, `${one}s/s`];
  const cpuMetric: Metric = { name: cpuName, better: "less", digits: 0 };
  const rateMetric: Metric = { name: rateName, better: "more", digits: 0 };
  const trips = load === "roundTrips";
  return {
    name,
    title,
    roles,
    metrics: [
      ...(trips ? [rateMetric, cpuMetric] : [cpuMetric, rateMetric]),
      ...latency,
      ...(trips ? [{ name: "p99.9 ms", better: "less", digits: 2 } satisfies Metric] : []),
      ...use,
    ],
    async measure(bed) {
      const { answer, cpu, use } = await timed(bed, load, tunnels);
      return {
        [cpuName]: cpu / answer.done * 1e6,
        [rateName]: answer.done / answer.seconds,
        "p50 ms": answer.p50!,
        "p99 ms": answer.p99!,
        "p99.9 ms": answer.p999!,
        ...use,
      };
    },
  };
}

function bulk(
  kind: string,
  title: string,
  roles: readonly Role[],
  direction: "down" | "up" | "both",
  tunnels: number,
): Scenario {
  return {
    name: `bulk-${kind}-${direction}-${tunnels}`,
    title: `Bulk, ${title}, ${direction === "both" ? "both ways" : direction}, ${
      tunnels === 1 ? "1 tunnel" : `${tunnels} tunnels`
    }`,
    roles,
    metrics: [
      { name: "CPU s/GB", better: "less", digits: 2 },
      { name: "GB/s", better: "more", digits: 2 },
      ...use,
    ],
    async measure(bed) {
      const { answer, cpu, use } = await timed(bed, direction, tunnels);
      const gigabytes = answer.done / 1e9;
      return { "CPU s/GB": cpu / gigabytes, "GB/s": gigabytes / answer.seconds, ...use };
    },
  };
}

const any: readonly Role[] = ["socks5", "http", "tcp"];

const idle: Scenario = {
  name: "idle",
  title: "Idle tunnels",
  roles: any,
  metrics: [
    { name: "KB/tunnel, fresh", better: "less", digits: 1 },
    { name: "KB/tunnel, after 32 KiB each way", better: "less", digits: 1 },
  ],
  async measure(bed) {
    const { running, sizes } = bed;
    const settle = () => delay(Math.min(3, 2 * sizes.seconds) * 1000);
    await bed.perform("sessions", 16, warmUp);
    await settle();
    const before = memoryKb(running.pids);
    const each = async (answer: Answer) => {
      if (answer.failed > 0 || answer.done !== sizes.idle) {
        throw new Error(`${answer.done} of ${sizes.idle} tunnels opened, ${answer.failed} failed`);
      }
      await settle();
      return (memoryKb(running.pids) - before) / sizes.idle;
    };
    const fresh = await each(await bed.perform("open", sizes.idle));
    const used = await each(await bed.perform("burst", sizes.idle));
    return { "KB/tunnel, fresh": fresh, "KB/tunnel, after 32 KiB each way": used };
  },
};

const starting: Scenario = {
  name: "start",
  title: "From start to listening",
  roles: any,
  metrics: [
    { name: "ms", better: "less", digits: 0 },
    { name: "MB at rest", better: "less", digits: 1 },
  ],
  measure: ({ running }) =>
    Promise.resolve({ ms: running.startSeconds * 1000, "MB at rest": memoryKb(running.pids) / 1000 }),
};

const ways = ["down", "up", "both"] as const;

/** All of them, in the order of the tables. */
export const scenarios: readonly Scenario[] = [
  counted("session", "sessions", 32, ["socks5"], "sessions-socks5", "SOCKS5 sessions"),
  counted("session", "sessions", 32, ["http"], "sessions-connect", "HTTP CONNECT sessions"),
  counted("session", "sessions", 32, ["tls"], "sessions-tls", "SOCKS5 sessions inside TLS"),
  counted("session", "h2", 32, ["h2"], "sessions-h2", "HTTP/2 CONNECT sessions"),
  counted("session", "sessions", 32, ["chain1"], "sessions-chain1", "SOCKS5 sessions through one hop"),
  counted("session", "sessions", 32, ["chain3"], "sessions-chain3", "SOCKS5 sessions through three hops"),
  counted("request", "requests", 32, ["plain"], "requests", "Plain HTTP requests, 1 KiB each"),
  counted("round trip", "roundTrips", 64, any, "round-trips", "Round trips of 64 bytes, 64 tunnels"),
  ...[1, 16].flatMap((tunnels) => ways.map((way) => bulk("plain", "plain", any, way, tunnels))),
  ...ways.map((way) => bulk("tls", "inside TLS", ["tls"], way, 1)),
  bulk("tls", "inside TLS", ["tls"], "down", 16),
  bulk("chain1", "through one hop", ["chain1"], "down", 1),
  bulk("chain3", "through three hops", ["chain3"], "down", 1),
  bulk("chain1", "through one hop", ["chain1"], "down", 16),
  bulk("chain3", "through three hops", ["chain3"], "down", 16),
  idle,
  starting,
];
