/**
 * The load: targets and clients in one process, which takes commands from its input and answers each with one line.
 * It runs on Bun, whose sockets cost least.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { h2Sessions } from "./h2.ts";
import { requests } from "./requests.ts";
import { listen, type Targets } from "./target.ts";
import type { Way } from "./tunnel.ts";
import { type Bounds, bulk, Idle, type Outcome, roundTrips, sessions } from "./tunnels.ts";

/** What can be done. */
export type Load = "sessions" | "h2" | "requests" | "down" | "up" | "both" | "roundTrips" | "open" | "burst";

/** A line of its input. */
export interface Command {
  readonly load: Load;
  readonly way: Way;
  readonly bounds: Bounds;
}

/** A line of its output. */
export interface Answer extends Outcome {
  readonly seconds: number;
  /** The load's own processor time. */
  readonly cpu: number;
}

/** The first line of its output. */
export type Greeting = Targets;

const targets = await listen();
const idle = new Idle();

function perform({ load, way, bounds }: Command): Promise<Outcome> {
  switch (load) {
    case "sessions":
      return sessions(way, bounds);
    case "h2":
      return h2Sessions(way.port, way.target, bounds);
    case "requests":
      return requests(way.port, targets.http, bounds);
    case "roundTrips":
      return roundTrips(way, bounds);
    case "open":
      return idle.open(way, bounds);
    case "burst":
      return idle.burst();
    default:
      return bulk(way, load, bounds);
  }
}

if (import.meta.main) {
  console.log(JSON.stringify(targets satisfies Greeting));
  for await (const line of createInterface({ input: process.stdin })) {
    const [cpu, began] = [process.cpuUsage(), performance.now()];
    const outcome = await perform(JSON.parse(line));
    const seconds = (performance.now() - began) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    console.log(JSON.stringify({ ...outcome, seconds, cpu: (user + system) / 1e6 } satisfies Answer));
  }
  process.exit(0);
}
