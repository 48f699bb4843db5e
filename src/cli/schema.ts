/**
 * `hopline schema`: the JSON Schema of the configuration file, for editors.
 *
 * @module
 */
import process from "node:process";
import { jsonSchema } from "../config/schema.ts";
import type { Command } from "./main.ts";

/** Prints the schema. */
export const schema: Command = {
  grammar: { operands: [], values: [], flags: [] },
  run() {
    process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
    return Promise.resolve(0);
  },
};
