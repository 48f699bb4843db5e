/**
 * What is wrong with a configuration: every problem at once, each at its file, line and column.
 *
 * @module
 */
import { printable } from "../core/errors.ts";

/** The keys and indices that lead to a value. */
export type Path = readonly (string | number)[];

/** One thing that is wrong, and where. */
export interface Problem {
  /** The configuration file; absent for flags and for a configuration given in code. */
  readonly file?: string;
  /** Counted from 1, like `column`; absent where there is no text to point at. */
  readonly line?: number;
  /** Counted from 1. */
  readonly column?: number;
  /** The keys that lead there, as `hops.office.address` or `listeners[0]`; `-L 1` or `-F 2` for a flag. */
  readonly path: string;
  /** What was expected and what was found, without any secret. */
  readonly message: string;
}

/** A configuration that cannot be used. `message` has one line for each problem. */
export class ConfigError extends Error {
  /** The class, for those who print it. */
  override readonly name = "ConfigError";

  /**
   * Makes an error of problems.
   *
   * @param problems all of them, in the order in which they are read
   */
  constructor(readonly problems: readonly Problem[]) {
    super(problems.map(formatProblem).join("\n"));
  }
}

/**
 * A value that a parser of this folder refuses. The message says what was expected; it never quotes a password.
 */
export class ValueError extends Error {
  override readonly name = "ValueError";
}

/** One line: `hopline.json:12:5: hops.office.address: expected …, found …`. */
export function formatProblem({ file, line, column, path, message }: Problem): string {
  const place = [file, line, column].filter((part) => part !== undefined).join(":");
  return printable([place, path, message].filter((part) => part !== "").join(": "));
}

/** `["listeners", 0, "tls"]` as `listeners[0].tls`; keys that are no plain words are quoted. */
export function formatPath(path: Path): string {
  return path.map((key, index) => {
    if (typeof key === "number") return `[${key}]`;
    if (!/^[\w$-]+$/.test(key)) return `[${quote(key)}]`;
    return index === 0 ? key : `.${key}`;
  }).join("");
}

/** Text in quotes, shortened to what fits in a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 59)}…` : text);
}

/** `a`, `a or b`, `a, b or c`. */
export function alternatives(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
