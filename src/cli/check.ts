/**
 * `hopline check`: validates a configuration and prints every problem.
 *
 * @module
 */
import process from "node:process";
import { reviewConfig } from "../config/load.ts";
import { ConfigError, formatProblem, type Problem } from "../config/problems.ts";
import type { Config } from "../config/schema.ts";
import { printable } from "../core/errors.ts";
import { unavailable } from "../runtime/splice/available.ts";
import type { Command } from "./main.ts";

/** Checks a file. */
export const check: Command = {
  grammar: { operands: ["FILE"], values: [], flags: ["json"] },
  async run({ operands: [file], flags }) {
    try {
      const { config, warnings } = await reviewConfig(file);
      if (flags.json) say(JSON.stringify({ ok: true, file, ...counts(config), warnings, notes: notes() }));
      else {
        for (const { message, ...place } of warnings) complain({ ...place, message: `warning: ${message}` });
        say(`${printable(file)}: ok, ${summary(config)}`);
        for (const note of notes()) say(`note: ${note}`);
      }
      return 0;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      if (flags.json) say(JSON.stringify({ ok: false, file, problems: error.problems }));
      else error.problems.forEach(complain);
      return 2;
    }
  },
};

/** What is no fault of the configuration's. */
function notes(): string[] {
  const reason = unavailable();
  return reason === undefined ? [] : [`the kernel does not move bulk flows here: ${reason}`];
}

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

function complain(problem: Problem): void {
  process.stderr.write(`${formatProblem(problem)}\n`);
}
