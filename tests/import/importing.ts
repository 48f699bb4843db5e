/**
 * Importing in tests: what came out, as data, and what was reported, as it is printed.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { parse } from "jsonc-parser";
import { ConfigError, formatProblem } from "../../src/config/problems.ts";
import { type Imported, importText, type Origin } from "../../src/import/import.ts";

/** The configuration, and the report. */
export interface Outcome {
  readonly config: unknown;
  readonly report: readonly string[];
}

/** Imports a text as the file `f`; `files` are those that it may include. */
export async function importing(
  text: string,
  { from, files = {} }: { from?: Origin; files?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  const read = (path: string) =>
    Object.hasOwn(files, path) ? Promise.resolve(files[path]) : Promise.reject(new Error(`no ${path}`));
  return outcome(await importText(text, { file: "f", from, read }));
}

/** What came out of an import. */
export function outcome({ text, notes }: Imported): Outcome {
  assertEquals(text.startsWith("// Made from "), true, text);
  return { config: parse(text), report: notes.map(formatProblem) };
}

/** Why a text cannot be imported. */
export async function refusal(text: string, from?: Origin): Promise<string[]> {
  try {
    await importing(text, { from });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(formatProblem);
    throw error;
  }
  throw new Error("it was imported");
}
