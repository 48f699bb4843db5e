/**
 * `hopline serve`: listens until a signal ends it.
 *
 * @module
 */
import process from "node:process";
import { configFromFlags, type Used } from "../config/load.ts";
import { ConfigError, formatProblem } from "../config/problems.ts";
import type { Config, RouteConfig } from "../config/schema.ts";
import { levels } from "../log.ts";
import { Server } from "../server.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Command } from "./main.ts";
import { watchFiles } from "./watch.ts";

/** More than any machine has cores for. */
const mostWorkers = 256;

/** Serves the listeners of a file and of the flags. */
export const serve: Command = {
  grammar: {
    operands: [],
    values: ["c", "L", "F", "log-level", "log-format", "workers"],
    flags: ["watch", "no-splice"],
  },
  async run(args) {
    const workers = workersOf(args);
    const used: Used = { files: new Map(), variables: new Set() };
    const splice = !args.flags["no-splice"];
    const starting = load(args, used).then((config) => start(config, { splice, workers }));
    await untilSignal(starting, args, used);
    return 0;
  },
};

/** What serves: a server, or several processes with one each. */
type Service = Pick<Server, "log" | "replace" | "close">;

async function start(config: Config, options: { splice: boolean; workers: number }): Promise<Service> {
  if (options.workers === 1) return await Server.start(config, options);
  const { Supervisor } = await import("./workers/supervisor.ts");
  return await Supervisor.start(config, options);
}

function workersOf({ values: { workers = "1" } }: Arguments): number {
  if (/^[1-9]\d*$/.test(workers) && Number(workers) <= mostWorkers) return Number(workers);
  throw new UsageError(
    `--workers is ${JSON.stringify(workers)}; expected a whole number from 1 to ${mostWorkers}`,
  );
}

async function load({ lists, values }: Arguments, used: Used): Promise<Config> {
  const flags = { listeners: [...lists.L], hops: [...lists.F], file: values.c };
  const config = await configFromFlags(flags, undefined, used);
  if (lists.F.length > 0 && config.routes?.some(takesFlags) === false) {
    throw new UsageError(
      'no route of the file has "via": "cli", so nothing would go by -F; give it a listener by -L',
    );
  }
  const level = choice("--log-level", values["log-level"], levels) ?? config.log.level;
  const format = choice("--log-format", values["log-format"], ["text", "json"] as const) ?? config.log.format;
  return { ...config, log: { level, format } };
}

function takesFlags({ via }: RouteConfig): boolean {
  return via !== "reject" && via.name === "cli";
}

function choice<T extends string>(
  option: string,
  value: string | undefined,
  choices: readonly T[],
): T | undefined {
  const chosen = choices.find((word) => word === value);
  if (value !== undefined && chosen === undefined) {
    throw new UsageError(`${option} is ${JSON.stringify(value)}; expected ${choices.join(", ")}`);
  }
  return chosen;
}

/**
 * The first SIGINT or SIGTERM drains, a second one ends at once; SIGHUP reloads. A signal may come as soon as the log
 * says that we listen, or before.
 */
function untilSignal(starting: Promise<Service>, args: Arguments, used: Used): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const stop = () => {
      if (stopping) return process.exit(0);
      stopping = true;
      starting.then((server) => server.close()).then(resolve, reject);
    };
    starting.catch(reject);
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
    let reloading = Promise.resolve();
    const again = () => {
      if (!stopping) reloading = reloading.then(async () => reload(await starting, args, used));
      return reloading;
    };
    process.on("SIGHUP", again);
    if (args.flags.watch) starting.then(() => watchFiles(() => used.files, again), () => {});
  });
}

/** A bad configuration is refused whole: the old one stays, and so do the files that it was made from. */
async function reload(server: Service, args: Arguments, { files, variables }: Used): Promise<void> {
  const used: Used = { files: new Map(), variables };
  try {
    await server.replace(await load(args, used));
    files.clear();
    server.log("info", "config.reloaded", { file: args.values.c });
  } catch (error) {
    const problems = error instanceof ConfigError
      ? error.problems.map(formatProblem)
      : [error instanceof Error ? error.message : String(error)];
    for (const message of problems) server.log("error", "config.refused", { message });
  }
  for (const [file, stamp] of used.files) files.set(file, stamp);
}
