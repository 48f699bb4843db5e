/**
 * `hopline import`: another program's configuration, made into one of Hopline's.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import process from "node:process";
import { readText } from "../config/files.ts";
import { alternatives, ConfigError, formatProblem, ValueError } from "../config/problems.ts";
import { type Imported, importText, importVariables, type Origin, origins } from "../import/import.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import type { Command } from "./main.ts";

/** Imports a file, or the environment. */
export const importCommand: Command = {
  grammar: { operands: [], optional: ["FILE"], values: ["from"], flags: ["env"] },
  async run(args) {
    const { text, notes } = await imported(args);
    process.stdout.write(text);
    for (const note of notes) process.stderr.write(`${formatProblem(note)}\n`);
    return 0;
  },
};

async function imported({ operands: [file], values, flags }: Arguments): Promise<Imported> {
  if (flags.env) {
    if (file !== undefined || values.from !== undefined) {
      throw new UsageError("--env takes the environment instead of FILE; leave the rest out");
    }
    return await importVariables(process.env);
  }
  if (file === undefined) throw new UsageError("import needs FILE or --env; see hopline import --help");
  const from = values.from as Origin | undefined;
  if (from !== undefined && !origins.includes(from)) {
    throw new UsageError(`--from is ${JSON.stringify(from)}; expected ${alternatives(origins)}`);
  }
  const directory = dirname(resolve(file));
  const read = (path: string) => readText(resolve(directory, path));
  try {
    return await importText(await readText(resolve(file)), { file, from, read });
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new ConfigError([{ file, path: "", message: error.message }]);
  }
}
