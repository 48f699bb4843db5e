/**
 * `hopline explain`: which way a target takes and why, without connecting.
 *
 * @module
 */
import process from "node:process";
import { printable } from "../core/errors.ts";
import { configFromFlags, type Used } from "../config/load.ts";
import { namedNetwork } from "../names/resolver.ts";
import { currentRuntime } from "../runtime/runtime.ts";
import { askedFor, askedOptions } from "./asked.ts";
import { explanation } from "./explain/explanation.ts";
import { page } from "./explain/page.ts";
import type { Command } from "./main.ts";
import { parseTarget } from "./target.ts";

/** Explains the way to a target. */
export const explain: Command = {
  grammar: { operands: ["TARGET (host:port)"], values: ["c", "F", ...askedOptions], flags: ["json"] },
  async run(args) {
    const { operands: [text], lists, values, flags } = args;
    const target = parseTarget(text);
    const used: Used = { files: new Map(), variables: new Set() };
    const given = { listeners: [], hops: [...lists.F], file: values.c };
    const config = await configFromFlags(given, undefined, used);
    const asked = askedFor(target, args, config);
    // As in `connect`, the chain of -F is meant for this target.
    const routes = lists.F.length > 0 ? undefined : config.routes;
    const network = namedNetwork(config, await currentRuntime());
    const result = await explanation({ ...config, routes }, asked, network, used);
    const output = flags.json
      ? JSON.stringify(result, null, 2)
      : page(result).split("\n").map(printable).join("\n");
    process.stdout.write(`${output}\n`);
    return 0;
  },
};
