/**
 * The `hopline` command: which command it is, and what its failure means to the shell.
 *
 * @module
 */
import process from "node:process";
import manifest from "../../deno.json" with { type: "json" };
import { ConfigError, formatProblem } from "../config/problems.ts";
import { suggestion } from "../config/nearest.ts";
import { printable, ProxyError } from "../core/errors.ts";
import { ListenError } from "../server.ts";
import { type Arguments, type Grammar, parseArguments, quoted, UsageError } from "./arguments.ts";
import { check } from "./check.ts";
import { connect } from "./connect.ts";
import { explain } from "./explain.ts";
import { commandHelp, help } from "./help.ts";
import { importCommand } from "./import.ts";
import { nameOurselves } from "./ourselves.ts";
import { passwd } from "./passwd.ts";
import { schema } from "./schema.ts";
import { serve } from "./serve.ts";
import { trace } from "./trace.ts";

/** One command. */
export interface Command {
  readonly grammar: Grammar;
  /** Resolves to the exit status. */
  run(args: Arguments): Promise<number>;
}

const commands: Record<string, Command> = {
  serve,
  check,
  explain,
  trace,
  connect,
  schema,
  import: importCommand,
  passwd,
};

/** Runs the command line of this process, and ends it. */
export async function main(): Promise<void> {
  const outputs = [process.stdout, process.stderr].map(written);
  nameOurselves();
  process.exitCode = await run(process.argv.slice(2));
  await Promise.all(outputs.map((end) => end()));
  process.exit();
}

/** Waits until what was printed has left the process, or nobody wants it: the exit would cut off what has not. */
function written(stream: NodeJS.WriteStream): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  stream.on("error", () => resolve());
  return () => {
    stream.end(() => resolve());
    return promise;
  };
}

/** Runs one command line; resolves to its exit status: 0 done, 1 failed, 2 used wrongly. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    return report(error);
  }
}

async function dispatch(args: readonly string[]): Promise<number> {
  const [first = ""] = args;
  if (first === "--help" || first === "-h" || first === "help") return print(help());
  if (first === "--version" || first === "-V") return print(`hopline ${manifest.version}`);
  // Not for people: --workers starts it.
  if (first === "worker") return await (await import("./workers/worker.ts")).work();
  const named = first !== "" && !first.startsWith("-");
  const name = named ? first : "serve";
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw unknownCommand(name);
  const parsed = parseArguments(name, named ? args.slice(1) : args, command.grammar);
  return parsed.flags.help ? print(commandHelp(name)) : await command.run(parsed);
}

function unknownCommand(name: string): UsageError {
  const hint = suggestion(name, Object.keys(commands), "");
  return new UsageError(`unknown command ${quoted(name)}${hint}; see hopline --help`);
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

/** Says what went wrong, one problem a line; a mistake of the user's has no stack trace. */
function report(error: unknown): number {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) complain(formatProblem(problem));
    return 2;
  }
  if (error instanceof UsageError) {
    complain(`hopline: ${error.message}`);
    return 2;
  }
  if (error instanceof ProxyError) {
    complain(`hopline: ${describe(error)}`);
    return 1;
  }
  if (error instanceof ListenError) {
    complain(`hopline: ${error.message}; choose another address with -L or in the configuration`);
    return 1;
  }
  complain(`hopline: ${error instanceof Error ? error.stack ?? error.message : String(error)}`);
  return 1;
}

/** The hop, the stage and the cause of a failure, on one line. */
export function describe({ hop = 0, label, stage, message }: ProxyError): string {
  return `hop ${hop}${label === undefined ? "" : `, ${label}`}, ${stage}: ${message}`;
}

function complain(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}
