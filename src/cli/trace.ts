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
import { configFromFlags } from "../config/load.ts";
import { theChain } from "../config/schema.ts";
import { chainDialer } from "../plan.ts";
import { currentRuntime } from "../runtime/runtime.ts";
import { UsageError } from "./arguments.ts";
import type { Command } from "./main.ts";
import { errorFields } from "../tunnel.ts";
import { adviceFor } from "./trace/advice.ts";
import { picture, progress, summaryPicture } from "./trace/picture.ts";
import type { Recorder } from "./trace/recorder.ts";
import { type Traced, traceOnce } from "./trace/run.ts";
import { summarize } from "./trace/summary.ts";
import { parseTarget } from "./target.ts";

/** Traces the way to a target. */
export const trace: Command = {
  grammar: { operands: ["TARGET (host:port)"], values: ["c", "F", "count"], flags: ["json"] },
  async run({ operands: [text], lists, values, flags }) {
    const target = parseTarget(text);
    const count = parseCount(values.count);
    const config = await configFromFlags({ listeners: [], hops: [...lists.F], file: values.c });
    const chain = theChain(config);
    const runtime = await currentRuntime();
    // Every run opens its own connections: those that are shared would hide what they cost.
    const runs: Traced[] = [];
    for (let run = 0; run < (count ?? 1); run++) {
      runs.push(await watched(chainDialer(chain?.hops ?? [], runtime, config.timeouts), target));
    }
    const name = formatEndpoint(target);
    say(flags.json ? json(runs, name) : drawn(runs, name));
    return runs.some(({ error }) => error !== undefined) ? 1 : 0;
  },
};

const mostRuns = 1000;

function parseCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= mostRuns) return Number(text);
  throw new UsageError(`--count is ${JSON.stringify(text)}; expected 1 to ${mostRuns}`);
}

/** A trace, with a line on a terminal that says what is waited for. */
async function watched(dialer: Dialer, target: Endpoint): Promise<Traced> {
  if (!process.stderr.isTTY) return await traceOnce(dialer, target);
  let last: Recorder | undefined;
  const show = () =>
    process.stderr.write(`\r\x1b[K${last === undefined ? "" : progress(last.steps, last.elapsed)}`);
  const timer = setInterval(show, 100);
  try {
    return await traceOnce(dialer, target, (recorder) => last = recorder);
  } finally {
    clearInterval(timer);
    process.stderr.write("\r\x1b[K");
  }
}

function drawn(runs: readonly Traced[], target: string): string {
  setColorEnabled(process.stdout.isTTY === true);
  const failed = runs.find(({ error }) => error !== undefined);
  if (runs.length === 1) return picture(runs[0], target);
  const summary = summaryPicture(summarize(runs), target);
  return failed === undefined ? summary : `${summary}\n\nThe first that failed:\n${picture(failed, target)}`;
}

function json(runs: readonly Traced[], target: string): string {
  const [only] = runs;
  const told = runs.length === 1 ? fieldsOf(only) : { ...summarize(runs), traces: runs.map(fieldsOf) };
  return JSON.stringify({ target, ...told }, null, 2);
}

function fieldsOf({ error, ...traced }: Traced) {
  const ok = error === undefined;
  return { ok, ...traced, ...(error && { error: errorFields(error), advice: adviceFor(error) }) };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
