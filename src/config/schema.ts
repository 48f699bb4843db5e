/**
 * The configuration: one schema, from which come its types, its checks and its JSON Schema.
 *
 * @module
 */
import process from "node:process";
import { z } from "zod";
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { filesIn, type ReadText } from "./files.ts";
import { hopSchema } from "./hop.ts";
import { listenerSchema } from "./listener.ts";
import { suggestion } from "./nearest.ts";
import { quote } from "./problems.ts";
import { groupKinds, reservedNames, unsupported } from "./protocols.ts";
import { count, duration, durationOrNone, report, type Reports, size } from "./values.ts";

export type { TlsClientConfig } from "./hop.ts";
export type { SniConfig, TargetConfig, TlsServerConfig } from "./listener.ts";

// deno-lint-ignore no-control-regex
const namePattern = /^[^\s\x00-\x1f\x7f-\x9f/:,@]{1,255}$/;

/** The schema; `read` gets at the certificates and secrets that a configuration keeps in files. */
export function schemaWith(read: ReadText) {
  return z.strictObject({
    $schema: z.string().optional().describe("Where the JSON Schema of this file is, for editors."),
    listeners: z.array(listenerSchema(read)).default([]).describe("Where clients connect."),
    hops: z.record(name(), hopSchema(read)).default({}).describe("Proxies on the way, by name."),
    chains: z.record(name(), z.array(chainElement(read)).min(1)).default({})
      .describe("Ways to targets: the names, URLs or objects of hops, nearest first."),
    routes: notYet("routes"),
    access: notYet("access"),
    timeouts: timeouts().prefault({}).describe("How long to wait for what."),
    limits: limits().prefault({}).describe("How much at most."),
    log: log().prefault({}).describe("What is written to standard error."),
    admin: notYet("admin"),
  })
    .superRefine(checkReferences, { when: ({ value }) => typeof value === "object" && value !== null })
    .transform(({ $schema: _, chains, ...config }) => {
      const hops = Object.entries(config.hops).map(([name, hop]) => [name, { ...hop, name }] as const);
      const named = new Map<string, HopConfig>(hops);
      const resolve = (hop: string | HopConfig) => typeof hop === "string" ? named.get(hop)! : hop;
      return {
        ...config,
        hops: Object.fromEntries(hops) as Record<string, HopConfig>,
        chains: Object.fromEntries(
          Object.entries(chains).map(([name, chain]) => [name, chain.map(resolve)]),
        ) as Record<string, HopConfig[]>,
      };
    });
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
    description: "Listeners, hops and chains. Any string may hold ${NAME} or ${NAME:-default}.",
    ...schema,
  };
}

/** The chain that everything takes: `cli` if there is one, else the only one; `null` means directly. */
export function theChain({ chains }: Config): { name: string; hops: HopConfig[] } | null {
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

/** A hop's name, a hop, or (not yet) a group. */
function chainElement(read: ReadText) {
  const named = z.string().refine((text) => !text.includes("://"), { abort: true })
    .describe("The name of a hop.");
  const element = z.union([hopSchema(read), named]);
  return z.preprocess((value: z.input<typeof element>, ctx) => {
    const group = groupKinds.find((kind) => typeof value === "object" && value !== null && kind in value);
    if (group !== undefined) report(ctx, unsupported(`a group (\`${group}\`)`), [group]);
    return value;
  }, element);
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
    headerBytes: size(1).prefault("64KiB").describe("Bytes that a handshake may take; at least 1KiB."),
  });
}

function log() {
  return z.strictObject({
    level: z.enum(["error", "warn", "info", "debug"]).default("info").describe("The least level to write."),
    format: z.enum(["text", "json"]).default("text").describe("Lines for people, or JSON objects."),
  });
}

/** As much of a configuration as is there: these checks run even when others have failed. */
interface Partly {
  readonly listeners?: unknown;
  readonly hops?: unknown;
  readonly chains?: unknown;
}

/** What can only be seen from above: names without a hop, addresses taken twice, chains without a choice. */
function checkReferences({ listeners, hops, chains }: Partly, ctx: Reports): void {
  const names = keys(hops);
  for (const chain of keys(chains)) {
    const elements = (chains as Record<string, unknown>)[chain];
    if (!Array.isArray(elements)) continue;
    elements.forEach((element, index) => {
      if (typeof element !== "string" || element.includes("://") || names.includes(element)) return;
      // An address in the place of a name may carry a password: alice:secret@host, or the half of it.
      const sign = ["@", ":"].find((one) => element.includes(one));
      const found = sign === undefined
        ? quote(element)
        : `something with ${sign === "@" ? "an @" : "a colon"}`;
      const hint = sign === undefined ? suggestion(element, names) : "";
      report(ctx, `expected a hop's name or URL, found ${found}${hint}`, ["chains", chain, index]);
    });
  }
  if (keys(chains).length > 1 && !keys(chains).includes("cli")) {
    report(ctx, `several chains need \`routes\` to choose between them, and ${unsupported("that")}`, [
      "chains",
    ]);
  }
  if (Array.isArray(listeners)) checkAddresses(listeners, ctx);
}

function checkAddresses(listeners: readonly unknown[], ctx: Reports): void {
  const seen = new Set<string>();
  listeners.forEach((listener: unknown, index) => {
    const { address } = (listener ?? {}) as { address?: Partial<Endpoint> };
    const { hostname, port } = address ?? {};
    if (typeof hostname !== "string" || typeof port !== "number") return;
    const text = formatEndpoint({ hostname: hostname.toLowerCase(), port });
    if (port !== 0 && seen.has(text)) {
      report(ctx, `another listener has the address ${text}`, ["listeners", index]);
    }
    seen.add(text);
  });
}

function keys(value: unknown): string[] {
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}
