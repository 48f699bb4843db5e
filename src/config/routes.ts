/**
 * The schema of a route.
 *
 * @module
 */
import { z } from "zod";
import { parseCidr } from "../core/cidr.ts";
import { parsePattern } from "../routing/pattern.ts";
import type { ReadText } from "./files.ts";
import type { ElementSchemas } from "./group.ts";
import { routeProtocols } from "./protocols.ts";
import { parseRuleList } from "./rule_list.ts";
import { targetSchema } from "./target.ts";
import { parseListenAddress } from "./url.ts";
import { parsed, refuse, report, type Reports } from "./values.ts";

/** A route: conditions, and the way of what meets them all, or the place where it is led. */
export function routeSchema(read: ReadText, { element, group }: ElementSchemas) {
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
    target: targetSchema(read).optional()
      .describe("Where it goes instead of where it asks: a target, or a group of them."),
    via: z.union([
      group,
      z.string().describe('"direct", "reject", or the name of a chain.'),
      z.array(element).min(1).describe("Hops and groups, nearest first."),
    ]).optional().describe(
      '"direct", "reject", the name of a chain, a group, or a list of hops. Default with a target: "direct".',
    ),
  }).superRefine(checkWay, { when: ({ value }) => typeof value === "object" && value !== null })
    .meta({ anyOf: [having("via"), having("target")] });
}

/** What the JSON Schema says of an object with this key. */
function having(key: string) {
  return { type: "object", properties: { [key]: {} }, required: [key] };
}

/** A route leads somewhere, or nowhere, but not both. */
function checkWay({ target, via }: { target?: unknown; via?: unknown }, ctx: Reports): void {
  if (via === undefined && target === undefined) {
    report(ctx, "is missing; expected which way (`via`) or where to (`target`)", ["via"]);
  }
  if (via === "reject" && target !== undefined) {
    report(ctx, 'what is rejected goes nowhere; leave `target` out, or `"via": "reject"`', ["target"]);
  }
}

/** Access rules. */
export function accessSchema(read: ReadText) {
  return z.strictObject({
    private: z.enum(["allow", "deny"]).optional()
      .describe(
        "Loopback, private and other special-use addresses. Default: allow for listeners on the loopback.",
      ),
    allow: targets(read).optional().describe(
      "Targets that are allowed even so, in the form of a route's `to`.",
    ),
    deny: targets(read).optional().describe(
      "Targets that are denied in any case, in the form of a route's `to`.",
    ),
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
