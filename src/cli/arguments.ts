/**
 * The command line, parsed.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { suggestion } from "../config/nearest.ts";

/** The command line is wrong: exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What a command takes. */
export interface Grammar {
  /** Names of operands, all required. */
  readonly operands: readonly string[];
  /** Names of those that may follow. */
  readonly optional?: readonly string[];
  /** Options with a value; those in {@linkcode repeatable} more than once. */
  readonly values: readonly string[];
  readonly flags: readonly string[];
}

/** Options that may stand more than once, in order. */
const repeatable = ["L", "F"];

/** What was given. */
export interface Arguments {
  readonly operands: readonly string[];
  readonly lists: Readonly<Record<string, readonly string[]>>;
  readonly values: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Record<string, boolean>>;
}

/** @throws UsageError */
export function parseArguments(command: string, args: readonly string[], grammar: Grammar): Arguments {
  const { values, flags } = grammar;
  const allFlags = [...flags, "help"];
  const parsed = parseArgs(args.flatMap((argument) => apart(argument, values)), {
    string: [...values, "_"],
    boolean: allFlags,
    collect: values,
    alias: { help: "h" },
    unknown: (argument: string, key?: string) => {
      if (key !== undefined) throw unknownOption(command, argument, [...values, ...allFlags]);
      return true;
    },
  }) as { _: string[] } & Record<string, unknown>;
  const given = (name: string) => parsed[name] as string[] ?? [];
  for (const name of values) {
    if (given(name).includes("")) {
      throw new UsageError(`${dashed(name)} needs a value; see hopline ${command} --help`);
    }
    if (given(name).length > 1 && !repeatable.includes(name)) {
      throw new UsageError(`${dashed(name)} is given ${given(name).length} times; once is enough`);
    }
  }
  const operands = parsed._;
  const help = parsed.help === true;
  if (!help) checkOperands(command, operands, grammar);
  return {
    operands,
    lists: Object.fromEntries(values.map((name) => [name, given(name)])),
    values: Object.fromEntries(values.map((name) => [name, given(name)[0]])),
    flags: Object.fromEntries(allFlags.map((name) => [name, parsed[name] === true])),
  };
}

/** `-Fsocks5://…` as `-F socks5://…`: the parser itself knows that form for few values. */
function apart(argument: string, values: readonly string[]): string[] {
  const [, option, value] = /^-(.)([^=].*)$/s.exec(argument) ?? [];
  return values.includes(option) ? [`-${option}`, value] : [argument];
}

function checkOperands(
  command: string,
  given: readonly string[],
  { operands, optional = [] }: Grammar,
): void {
  const most = operands.length + optional.length;
  if (given.length > most) {
    throw new UsageError(`unexpected argument ${quoted(given[most])}; see hopline ${command} --help`);
  }
  if (given.length < operands.length) {
    throw new UsageError(`${command} needs ${operands[given.length]}; see hopline ${command} --help`);
  }
}

function unknownOption(command: string, argument: string, known: readonly string[]): UsageError {
  // What follows the name may be a hop with a password in it.
  const [name] = /^--[\w-]*|^-./.exec(argument) ?? ["-"];
  const word = name.startsWith("--") ? name : "";
  return new UsageError(
    `unknown option ${name}${suggestion(word, known.map(dashed), "")}; see hopline ${command} --help`,
  );
}

/** A word of the command line for a message, unless it may hold a password: what has an @ looks like a URL. */
export function quoted(word: string): string {
  if (word.includes("@")) return "with an @ in it";
  return word.includes(":") ? "with a colon in it" : JSON.stringify(word);
}

function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}
