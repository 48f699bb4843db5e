/**
 * From a file, from flags or from code to a checked configuration.
 *
 * @module
 */
import { dirname, extname, resolve } from "node:path";
import process from "node:process";
import { certificateWarnings } from "./certificates.ts";
import { filesIn, note, readText } from "./files.ts";
import { type Flags, withChainOfFlags, withFlags } from "./flags.ts";
import { type Environment, interpolate } from "./interpolate.ts";
import { explain, flatten, type Issue } from "./issues.ts";
import { ConfigError, formatPath, type Path, type Problem, ValueError } from "./problems.ts";
import { runProgram } from "./program.ts";
import { type Config, type ConfigInput, schemaWith } from "./schema.ts";
import { type Format, parseSource, type Source } from "./source.ts";

export type { Environment, Flags, Format };

/** What a configuration was made from, found or not. */
export interface Used {
  /** The configuration itself and the files that it names: absolute paths, with what each was before it was read. */
  readonly files: Map<string, string>;
  /** Names in the environment. */
  readonly variables: Set<string>;
}

const formats: Record<string, Format | "module"> = {
  ".json": "json",
  ".jsonc": "json",
  ".yaml": "yaml",
  ".yml": "yaml",
  ".toml": "toml",
  ".ts": "module",
  ".js": "module",
  ".mjs": "module",
};

/**
 * Loads a configuration file; its extension says how it is read.
 *
 * @throws ConfigError with every problem at once
 */
export async function loadConfig(path: string, environment: Environment = variable): Promise<Config> {
  return await check(await readSource(path), directoryOf(path), environment);
}

/**
 * Loads a configuration file, and says besides what is no problem but hardly meant.
 *
 * @throws ConfigError with every problem at once
 */
export async function reviewConfig(path: string): Promise<{ config: Config; warnings: readonly Problem[] }> {
  const source = await readSource(path);
  const config = await check(source, directoryOf(path), variable);
  const warnings = certificateWarnings(config, new Date()).map((warning) =>
    placed({ ...warning, path: [...warning.path], at: "value" }, source)
  );
  return { config, warnings };
}

/**
 * Checks the text of a configuration file. `path` names it in problems; `directory` is where relative paths start.
 *
 * @throws ConfigError with every problem at once
 */
export async function parseConfig(
  text: string,
  { path, format, directory, environment = variable }: {
    path?: string;
    format?: Format;
    directory?: string;
    environment?: Environment;
  } = {},
): Promise<Config> {
  const source = parseSource(text.replace(/^\ufeff/, ""), format ?? textFormat(path), path);
  return await check(source, directory ?? directoryOf(path), environment);
}

/**
 * Checks a configuration given in code. Its strings are taken as they are, unless an environment is given.
 *
 * @throws ConfigError with every problem at once
 */
export async function validateConfig(
  input: ConfigInput,
  { directory = directoryOf(), environment }: { directory?: string; environment?: Environment } = {},
): Promise<Config> {
  return await check(inCode(input), directory, environment);
}

/**
 * Joins what the command line says to a configuration file, if there is one: listeners are added to the file's, hops
 * become a chain named `cli`, which those listeners take whatever the file's routes say. Without any listener there is one on `127.0.0.1:1080`.
 *
 * @throws ConfigError with every problem at once
 */
export async function configFromFlags(
  flags: Flags,
  environment: Environment = variable,
  used?: Used,
): Promise<Config> {
  if (flags.file !== undefined) await note(resolve(flags.file), used?.files);
  const source = flags.file === undefined ? inCode({}) : await readSource(flags.file);
  const config = await check(withFlags(source, flags), directoryOf(flags.file), environment, used);
  return withChainOfFlags(config, source, flags);
}

function noting(environment: Environment, used: Used | undefined): Environment {
  return (name) => {
    used?.variables.add(name);
    return environment(name);
  };
}

function variable(name: string): string | undefined {
  return process.env[name];
}

/** Where relative paths start: beside the file, or else in the working directory. */
function directoryOf(file?: string): string {
  return file === undefined ? process.cwd() : dirname(resolve(file));
}

function formatOf(path: string): Format | "module" | undefined {
  return formats[extname(path).toLowerCase()];
}

function textFormat(path = ""): Format {
  const format = formatOf(path);
  return format === undefined || format === "module" ? "json" : format;
}

async function readSource(path: string): Promise<Source> {
  const format = formatOf(path);
  try {
    if (format === undefined) {
      throw new ValueError(`expected a file whose name ends in ${Object.keys(formats).join(", ")}`);
    }
    const text = await readText(resolve(path));
    if (format !== "module") return parseSource(text, format, path);
    return { ...inCode(await runProgram(path)), locate: () => ({ file: path }) };
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new ConfigError([{ file: path, path: "", message: error.message }]);
  }
}

function inCode(value: unknown): Source {
  return { value, locate: () => ({}), problems: [] };
}

async function check(
  source: Source,
  directory: string,
  environment?: Environment,
  used?: Used,
): Promise<Config> {
  if (source.broken) throw new ConfigError(source.problems);
  const { value, issues } = interpolate(source.value, environment && noting(environment, used));
  const read = filesIn(directory, used?.files);
  const { data, error } = await schemaWith(read).safeParseAsync(value, { error: explain });
  // What is wrong with a string whose variable is missing is nothing new.
  const found = flatten(error?.issues ?? []).filter(({ path }) =>
    !issues.some((other) => covers(other, path))
  );
  const problems = [...source.problems, ...[...issues, ...found].map((issue) => placed(issue, source))];
  if (data !== undefined && problems.length === 0) return data;
  throw new ConfigError(problems.sort(byPlace));
}

function covers({ path }: Issue, other: Path): boolean {
  return path.every((key, index) => key === other[index]);
}

function placed({ path, message, at }: Issue, source: Source): Problem {
  return { path: formatPath(path), message, ...source.locate(path, at) };
}

/** By position; where there is none, by path, with `-L 2` in front of `-L 10`. */
function byPlace(a: Problem, b: Problem): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0) ||
    a.path.localeCompare(b.path, "en", { numeric: true });
}
