/**
 * The permissions that a configuration needs on Deno.
 *
 * @module
 */
import { formatEndpoint, ipVersion } from "../../core/address.ts";
import type { Endpoint } from "../../core/conn.ts";
import type { Used } from "../../config/load.ts";
import type { Config, ElementConfig } from "../../config/schema.ts";
import { theChain } from "../../config/schema.ts";
import { firstServers } from "./way.ts";

/** The flags of `deno run` for `hopline serve` with this configuration, and no more than it needs. */
export function permissions(config: Config, { files, variables }: Used): string[] {
  return [
    flag("net", places(config)),
    ...(files.size === 0 ? [] : [flag("read", [...files.keys()])]),
    ...(variables.size === 0 ? [] : [flag("env", [...variables])]),
  ];
}

function flag(name: string, values: readonly string[] | "anything"): string {
  // A path with a comma in it can't be written in a list.
  if (values === "anything" || values.some((value) => value.includes(","))) return `--allow-${name}`;
  return `--allow-${name}=${values.join(",")}`;
}

/**
 * Where it listens and what it connects to. A name may have any address, and it is addresses that are connected to: so
 * where there is a name, or a target is reached directly, nothing less than the whole network will do.
 */
function places(config: Config): string[] | "anything" {
  const servers: Endpoint[] = [];
  for (const way of waysOf(config)) {
    const first = firstServers(way);
    if (first === "anything") return first;
    servers.push(...first);
  }
  for (const { address, path } of config.names?.servers ?? []) {
    if (path !== undefined || ipVersion(address.hostname) === 0) return "anything";
    servers.push(address);
  }
  if (servers.some(({ hostname }) => ipVersion(hostname) === 0)) return "anything";
  const own = config.listeners.map(({ address }) => address);
  return [...new Set([...own, ...servers].map(place))];
}

/** A listener that asks for any free port has it from the system. */
function place({ hostname, port }: Endpoint): string {
  return formatEndpoint({ hostname, port }).replace(/:0$/, "");
}

function waysOf(config: Config): (readonly ElementConfig[])[] {
  const ways = config.routes?.flatMap(({ via }) => via === "reject" ? [] : [via.hops]) ??
    [theChain(config)?.hops ?? []];
  return config.names?.servers === undefined ? ways : [...ways, config.names.via];
}
