/**
 * `hopline trace`: connects through the chain and times every step, like a traceroute.
 *
 * @module
 */
import process from "node:process";
import { setColorEnabled } from "@std/fmt/colors";
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import type { Dialer } from "../core/dialer.ts";
import { background } from "../core/handshake.ts";
import { makeRouter, type Routed } from "../routing/router.ts";
import { UsageError } from "./arguments.ts";
import { askedFor, askedOptions } from "./asked.ts";
import type { Command } from "./main.ts";
import { errorFields } from "../tunnel.ts";
import { adviceFor } from "./trace/advice.ts";
import { picture, progress, summaryPicture } from "./trace/picture.ts";
import type { Recorder } from "./trace/recorder.ts";
import { type Traced, traceOnce } from "./trace/run.ts";
import { summarize } from "./trace/summary.ts";
import { configForTarget, parseTarget } from "./target.ts";

/** Traces the way to a target. */
export const trace: Command = {
  grammar: {
    operands: ["TARGET (host:port)"],
    values: ["c", "F", "count", ...askedOptions],
    flags: ["json"],
  },
  async run(args) {
    const { operands: [text], values, flags } = args;
    const target = parseTarget(text);
    const count = parseCount(values.count);
    const { config, means } = await configForTarget(args);
    const asked = askedFor(target, args, config);
    let way: Routed;
    const runs: Traced[] = [];
    do {
      // Every run opens its own connections: those that are shared would hide what they cost.
      way = await makeRouter(config, means)(asked, background);
      runs.push(await watched(way.dialer, target));
    } while (runs.length < count);
    const name = formatEndpoint(target);
    say(flags.json ? json(runs, name, way) : drawn(runs, name, way));
    return runs.some(({ error }) => error !== undefined) ? 1 : 0;
  },
};

const mostRuns = 1000;

function parseCount(text = "1"): number {
  if (/^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= mostRuns) return Number(text);
  throw new UsageError(`--count is ${JSON.stringify(text)}; expected 1 to ${mostRuns}`);
}

/** A trace, with a line on a terminal that says what is waited for. */
async function watched(dialer: Dialer, target: Endpoint): Promise<Traced> {
  if (!process.stderr.isTTY) return await traceOnce(dialer, target);
  let last: Recorder | undefined;
  const show = () =>
    process.stderr.write(
      `\r\x1b[K${last === undefined ? "" : progress(last.steps, last.elapsed, process.stderr.columns)}`,
    );
  const timer = setInterval(show, 100);
  try {
    return await traceOnce(dialer, target, (recorder) => last = recorder);
  } finally {
    clearInterval(timer);
    process.stderr.write("\r\x1b[K");
  }
}

function drawn(runs: readonly Traced[], target: string, { route, names }: Routed): string {
  setColorEnabled(process.stdout.isTTY === true);
  const [{ via }] = runs;
  const taken = runs.length === 1 && via.length > 0 ? via : names;
  const by = taken.length === 0 ? "directly" : `by ${taken.join(", ")}`;
  const heading = `${target} ${by}${route === undefined ? "" : ` (route ${route})`}`;
  if (runs.length === 1) return picture(runs[0], target, heading);
  const summary = summaryPicture(summarize(runs), target, heading);
  const failed = runs.find(({ error }) => error !== undefined);
  return failed === undefined
    ? summary
    : `${summary}\n\n${picture(failed, target, "The first that failed:")}`;
}

function json(runs: readonly Traced[], target: string, { route, names }: Routed): string {
  const told = runs.length === 1 ? fieldsOf(runs[0]) : { ...summarize(runs), traces: runs.map(fieldsOf) };
  return JSON.stringify({ target, route, via: names, ...told }, null, 2);
}

function fieldsOf({ error, ...traced }: Traced) {
  const ok = error === undefined;
  return { ok, ...traced, ...(error && { error: errorFields(error), advice: adviceFor(error) }) };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
