/**
 * The program under test, run by the same runtime that runs the tests, and read through nothing but its contract:
 * the command line, the exit status and the JSON log lines.
 *
 * @module
 */
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Daemon, eventually, type Finished, run, type RunOptions, start } from "./process.ts";
import type { Directory } from "./temporary.ts";

/** The checkout. */
export const root: string = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

const permissions = ["--allow-net", "--allow-read", "--allow-env", "--allow-ffi", "--allow-run"];

/** The command that is Hopline: `command[0]` is the runtime, the rest comes before Hopline's own arguments. */
export const command: readonly string[] = [
  process.execPath,
  ...("Bun" in globalThis ? [] : ["run", "--no-prompt", ...permissions]),
  join(root, "mod.ts"),
];

/** One log line. */
export interface Line {
  readonly time: string;
  readonly level: string;
  readonly event: string;
  // deno-lint-ignore no-explicit-any -- a log line is read by name, and an absent key fails the assertion
  readonly [key: string]: any;
}

/** Which log line is meant. */
export type Where = Readonly<Record<string, string | number | undefined | ((value: unknown) => boolean)>>;

/** What has been logged since a moment. */
export interface Trail {
  /** Waits for the first line of this event whose keys have these values, or satisfy these predicates. */
  find(event: string, where?: Where): Promise<Line>;
  /** Every line there is by now. */
  lines(): readonly Line[];
}

/** A running `hopline serve`. */
export interface Hopline extends AsyncDisposable {
  /** The bound addresses, `host:port`, in the order of the listeners. */
  readonly addresses: readonly string[];
  /** The first of them. */
  readonly address: string;
  /** The log from now on. */
  trail(): Trail;
  /** Everything it wrote. */
  output(): string;
  /** Ends it as a service manager would, and resolves to the exit status. */
  stop(): Promise<number | null>;
}

/**
 * Starts `hopline serve` with these arguments and waits until `listeners` of its listeners are ready; `by` is a command
 * in front of it.
 */
export async function hopline(
  args: readonly string[],
  listeners = 1,
  env?: RunOptions["env"],
  by: readonly string[] = [],
): Promise<Hopline> {
  const [program, ...rest] = [...by, ...command];
  const daemon = start(program, [...rest, "serve", ...args, "--log-format", "json"], { env });
  const lines = readLines(daemon);
  let ended = false;
  daemon.exited.finally(() => ended = true).catch(() => {});
  try {
    const addresses = await eventually(
      () => `the listeners of hopline ${args.join(" ")}: ${daemon.output()}`,
      () => {
        if (ended) throw new Error(`hopline ${args.join(" ")} ended: ${daemon.output()}`);
        const ready = lines.filter((line) => line.event === "listener.ready");
        return ready.length < listeners ? undefined : ready.map((line) => String(line.listener));
      },
    );
    return {
      addresses,
      address: addresses[0],
      trail: () => trail(lines, daemon),
      output: daemon.output,
      stop: () => daemon.stop("SIGTERM", 10_000),
      [Symbol.asyncDispose]: daemon[Symbol.asyncDispose],
    };
  } catch (error) {
    await daemon.stop("SIGKILL");
    throw error;
  }
}

/** Runs a command of Hopline to its end. */
export function hoplineCommand(args: readonly string[], options?: RunOptions): Promise<Finished> {
  const [runtime, ...rest] = command;
  return run(runtime, [...rest, ...args], options);
}

/** Writes a configuration file and returns the arguments that name it. */
export function configured(directory: Directory, configuration: unknown): string[] {
  const name = `hopline-${crypto.randomUUID()}.json`;
  return ["-c", directory.write(name, JSON.stringify(configuration, null, 2))];
}

function readLines(daemon: Daemon): Line[] {
  const lines: Line[] = [];
  let rest = "";
  daemon.onError((chunk) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!;
    // A line that is no JSON is a crash report; it shows in `output()`.
    for (const part of parts) if (part.startsWith("{")) lines.push(JSON.parse(part));
  });
  return lines;
}

/** A predicate for byte counts. */
export function atLeast(length: number): (value: unknown) => boolean {
  return Object.assign((value: unknown) => Number(value) >= length, { toJSON: () => `at least ${length}` });
}

function trail(lines: readonly Line[], daemon: Daemon): Trail {
  const from = lines.length;
  const matches = (line: Line, where: Where) =>
    Object.entries(where).every(([key, wanted]) =>
      typeof wanted === "function" ? wanted(line[key]) : line[key] === wanted
    );
  return {
    find: (event, where = {}) =>
      eventually(
        () => `a log line ${event} with ${JSON.stringify(where)} in ${daemon.output().slice(-4000)}`,
        () => lines.slice(from).find((line) => line.event === event && matches(line, where)),
        10_000,
      ),
    lines: () => lines.slice(from),
  };
}
