/**
 * The configuration: one schema, from which come its types, its checks and its JSON Schema.
 *
 * @module
 */
import process from "node:process";
import { z } from "zod";
import type { Endpoint } from "../core/conn.ts";
import type { Conditions } from "../routing/rule.ts";
import { filesIn, type ReadText } from "./files.ts";
import { type Element, elementSchemas } from "./group.ts";
import { hopSchema } from "./hop.ts";
import { listenerSchema } from "./listener.ts";
import { namesSchema } from "./names.ts";
import { reservedNames, unsupported } from "./protocols.ts";
import { addressOf, checkReferences } from "./references.ts";
import { accessSchema, routeSchema } from "./routes.ts";
import type { TargetConfig, TargetGroupConfig } from "./target.ts";
import { count, duration, durationOrNone, size } from "./values.ts";
import { type ElementConfig, Ways } from "./ways.ts";

export type { TlsClientConfig } from "./hop.ts";
export type { ElementConfig, GroupConfig, MemberConfig } from "./ways.ts";
export type { SniConfig, TlsServerConfig } from "./listener.ts";
export type { TargetConfig, TargetGroupConfig } from "./target.ts";

// deno-lint-ignore no-control-regex
const namePattern = /^[^\s\x00-\x1f\x7f-\x9f/:,@]{1,255}$/;

/** The schema; `read` gets at the certificates and secrets that a configuration keeps in files. */
export function schemaWith(read: ReadText) {
  const elements = elementSchemas(read);
  return z.strictObject({
    $schema: z.string().optional().describe("Where the JSON Schema of this file is, for editors."),
    listeners: z.array(listenerSchema(read)).default([]).describe("Where clients connect."),
    hops: z.record(name(), hopSchema(read)).default({}).describe("Proxies on the way, by name."),
    chains: z.record(name(), z.array(elements.element).min(1)).default({})
      .describe("Ways to targets: the names, URLs or objects of hops, and groups of them, nearest first."),
    routes: z.array(routeSchema(read, elements)).min(1).optional()
      .describe("Which way targets are reached: the first route that matches. Default: the only chain."),
    names: namesSchema(read, elements).optional().describe(
      "How names are looked up. Default: by the system.",
    ),
    access: accessSchema(read).default({}).describe("What clients are kept from."),
    timeouts: timeouts().prefault({}).describe("How long to wait for what."),
    limits: limits().prefault({}).describe("How much at most."),
    log: log().prefault({}).describe("What is written to standard error."),
    admin: notYet("admin"),
  })
    .superRefine(checkReferences, { when: ({ value }) => typeof value === "object" && value !== null })
    .transform(({ $schema: _, chains, routes, names, ...config }) => {
      const hops = Object.entries(config.hops).map(([name, hop]) => [name, { ...hop, name }] as const);
      const ways = new Ways(Object.fromEntries(hops), chains);
      const wayOf = (via: string | Element | Element[]) =>
        typeof via === "string"
          ? { name: via, hops: ways.chain(via) }
          : { hops: ways.elements([via].flat()) };
      return {
        ...config,
        hops: ways.hops,
        chains: Object.fromEntries(Object.keys(chains).map((name) => [name, ways.chain(name)])),
        ...(routes && {
          routes: routes.map(({ via = "direct", listeners, ...rest }, index): RouteConfig => ({
            ...rest,
            number: index + 1,
            listeners: listeners && indicesOf(config.listeners, listeners),
            via: via === "reject" ? via : wayOf(via),
          })),
        }),
        ...(names && { names: { ...names, via: wayOf(names.via).hops } }),
      };
    });
}

/** Listeners by their place; several may ask for any free port of one address. */
function indicesOf(listeners: readonly ListenerConfig[], addresses: readonly Endpoint[]): number[] {
  const wanted = new Set(addresses.map((address) => addressOf({ address })));
  return listeners.flatMap((listener, index) => wanted.has(addressOf(listener)) ? [index] : []);
}

/** The schema for a configuration whose files are relative to the working directory. Parse asynchronously. */
export const configSchema = schemaWith((path) => filesIn(process.cwd())(path));

/** What users write. */
export type ConfigInput = z.input<typeof configSchema>;

/** What a valid configuration means: strings parsed, files read, names resolved, defaults filled in. */
export type Config = z.output<typeof configSchema>;

/** A hop; `name` is its key under `hops`, and absent for a hop that stands in a chain itself. */
export type HopConfig = z.output<ReturnType<typeof hopSchema>>;

/** A listener. */
export type ListenerConfig = z.output<ReturnType<typeof listenerSchema>>;

/** A route. */
export interface RouteConfig extends Conditions {
  /** Its place among the routes, from 1. */
  readonly number?: number;
  /** Names are looked up here for the addresses in `to`, whatever the way. */
  readonly resolve?: boolean;
  /** Where its requests go, instead of where they ask. */
  readonly target?: TargetConfig | TargetGroupConfig;
  readonly via: ViaConfig;
}

/** Where requests go: by a chain, which may have a name, or by no hop at all; or nowhere. */
export type ViaConfig = "reject" | { readonly name?: string; readonly hops: readonly ElementConfig[] };

/**
 * Gives an editor the types, in a `hopline.config.ts`.
 *
 * @example
 * ```ts
 * import { defineConfig } from "@hopline/hopline";
 *
 * export default defineConfig({ listeners: ["127.0.0.1:1080"], chains: { out: ["socks5://relay.example.net"] } });
 * ```
 */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}

/** The JSON Schema of the configuration file. */
export function jsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = z.toJSONSchema(configSchema, { io: "input" });
  return {
    $schema,
    title: "Hopline configuration",
    description: "Listeners, hops, chains and routes. Any string may hold ${NAME} or ${NAME:-default}.",
    ...schema,
  };
}

/** The chain that everything takes where there are no routes: `cli` if there is one, else the only one; `null` means directly. */
export function theChain({ chains }: Config): { name: string; hops: ElementConfig[] } | null {
  const names = Object.keys(chains);
  const chosen = Object.hasOwn(chains, "cli") ? "cli" : names[0];
  return chosen === undefined ? null : { name: chosen, hops: chains[chosen] };
}

function name() {
  return z.string()
    .regex(namePattern, "expected a name of 1 to 255 characters without spaces and / : , @")
    .refine((name) => !reservedNames.includes(name), {
      error: ({ input }) => `the name \`${input}\` is reserved`,
    });
}

function notYet(key: string) {
  return z.never({ error: () => unsupported(`\`${key}\``) }).optional().describe(
    "Not supported by this version.",
  );
}

function timeouts() {
  return z.strictObject({
    handshake: duration().prefault("10s").describe("For a client to say what it wants."),
    connect: duration().prefault("10s").describe("For each hop, and for the target."),
    idle: duration().prefault("1h").describe("For a tunnel in which nothing moves."),
    halfClosed: duration().prefault("5m").describe("The same, once one side has ended."),
    drain: durationOrNone().prefault("30s").describe(
      "For tunnels to finish when the program stops; may be 0s.",
    ),
  });
}

function limits() {
  return z.strictObject({
    tunnels: count().default(10_000).describe("Tunnels at a time."),
    tunnelsPerClient: count().default(1_000).describe("Tunnels at a time from one client address."),
    tunnelsPerUser: count().optional()
      .describe("Tunnels at a time of one user that has logged in. Default: as many as there are."),
    bandwidthPerUser: size(1).optional()
      .describe("Bytes a second, up and down each, of all tunnels of one user; at least 1KiB."),
    headerBytes: size(1).prefault("64KiB").describe("Bytes that a handshake may take; at least 1KiB."),
  });
}

function log() {
  return z.strictObject({
    level: z.enum(["error", "warn", "info", "debug"]).default("info").describe("The least level to write."),
    format: z.enum(["text", "json"]).default("text").describe("Lines for people, or JSON objects."),
  });
}
