/**
 * `hopline explain`: which way a target takes and why, without connecting.
 *
 * @module
 */
import process from "node:process";
import { printable } from "../core/errors.ts";
import type { Used } from "../config/load.ts";
import { askedFor, askedOptions } from "./asked.ts";
import { explanation } from "./explain/explanation.ts";
import { page } from "./explain/page.ts";
import type { Command } from "./main.ts";
import { configForTarget, parseTarget } from "./target.ts";

/** Explains the way to a target. */
export const explain: Command = {
  grammar: { operands: ["TARGET (host:port)"], values: ["c", "F", ...askedOptions], flags: ["json"] },
  async run(args) {
    const target = parseTarget(args.operands[0]);
    const used: Used = { files: new Map(), variables: new Set() };
    const { config, means } = await configForTarget(args, used);
    const asked = askedFor(target, args, config);
    const result = await explanation(config, asked, means.network, used);
    const output = args.flags.json
      ? JSON.stringify(result, null, 2)
      : page(result).split("\n").map(printable).join("\n");
    process.stdout.write(`${output}\n`);
    return 0;
  },
};
