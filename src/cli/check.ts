/**
 * `hopline check`: validates a configuration and prints every problem.
 *
 * @module
 */
import process from "node:process";
import { loadConfig } from "../config/load.ts";
import { ConfigError, formatProblem } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { printable } from "../core/errors.ts";
import type { Command } from "./main.ts";

/** Checks a file. */
export const check: Command = {
  grammar: { operands: ["FILE"], values: [], flags: ["json"] },
  async run({ operands: [file], flags }) {
    try {
      const config = await loadConfig(file);
      say(
        flags.json
          ? JSON.stringify({ ok: true, file, ...counts(config) })
          : `${printable(file)}: ok, ${summary(config)}`,
      );
      return 0;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      if (flags.json) say(JSON.stringify({ ok: false, file, problems: error.problems }));
      else for (const problem of error.problems) process.stderr.write(`${formatProblem(problem)}\n`);
      return 2;
    }
  },
};

function counts(config: Config) {
  return {
    listeners: config.listeners.length,
    hops: Object.keys(config.hops).length,
    chains: Object.keys(config.chains).length,
  };
}

function summary(config: Config): string {
  return Object.entries(counts(config))
    .map(([what, n]) => `${n} ${n === 1 ? what.slice(0, -1) : what}`)
    .join(", ");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
