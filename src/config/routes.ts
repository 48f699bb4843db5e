/**
 * The schema of a route.
 *
 * @module
 */
import { z } from "zod";
import { parseCidr } from "../core/cidr.ts";
import { parsePattern } from "../routing/pattern.ts";
import type { ReadText } from "./files.ts";
import { hopSchema } from "./hop.ts";
import { groupKinds, routeProtocols, unsupported } from "./protocols.ts";
import { parseRuleList } from "./rule_list.ts";
import { parseListenAddress } from "./url.ts";
import { parsed, refuse, report } from "./values.ts";

/** A route: conditions, and the way of what meets them all. */
export function routeSchema(read: ReadText) {
  return z.strictObject({
    to: targets(read).optional()
      .describe(
        "Targets: names, *.names, addresses and blocks of them, *, with or without :port or :from-to; or files of them.",
      ),
    from: z.array(parsed(parseCidr)).min(1).optional()
      .describe("Where the client comes from, as 10.0.0.0/8."),
    users: z.array(z.string()).min(1).optional().describe("The names of users."),
    listeners: z.array(parsed(parseListenAddress)).min(1).optional()
      .describe("The addresses of listeners, as they stand under `listeners`."),
    protocols: z.array(z.enum(routeProtocols)).min(1).optional()
      .describe("What the client speaks; tcp is a port forward, sni TLS that is passed on."),
    resolve: z.boolean().optional()
      .describe("Look names up here for the addresses in `to`, even if a hop would have done so."),
    via: via(read)
      .describe('"direct", "reject", the name of a chain, or a list of hops.'),
  });
}

/** Targets, as they stand in the configuration or in files. */
function targets(read: ReadText) {
  const file = z.strictObject({
    file: z.string().min(1).describe(
      "Path of a file with one target on each line, or in the form of a hosts file.",
    ),
  }).transform(async ({ file }, ctx) => {
    try {
      return parseRuleList((await read(file)).text, file);
    } catch (error) {
      return refuse(ctx, error, ["file"]);
    }
  });
  return z.array(z.union([parsed(parsePattern), file])).min(1).transform((entries) => entries.flat());
}

/** A hop's name, a hop, or (not yet) a group. */
export function chainElement(read: ReadText) {
  const named = z.string().refine((text) => !text.includes("://"), { abort: true })
    .describe("The name of a hop.");
  return refusingGroups(z.union([hopSchema(read), named]));
}

function via(read: ReadText) {
  return refusingGroups(z.union([
    z.string().describe('"direct", "reject", or the name of a chain.'),
    z.array(chainElement(read)).min(1).describe("Hops, nearest first."),
  ]));
}

function refusingGroups<S extends z.ZodType>(schema: S) {
  return z.preprocess((value: z.input<S>, ctx) => {
    const group = groupKinds.find((kind) => typeof value === "object" && value !== null && kind in value);
    if (group !== undefined) report(ctx, unsupported(`a group (\`${group}\`)`), [group]);
    return value;
  }, schema);
}
