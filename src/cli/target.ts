/**
 * What commands for one target have in common: the operand TARGET, and what finds its way.
 *
 * @module
 */
import { AddressError, parseEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { configFromFlags, type Used } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { namedNetwork } from "../names/resolver.ts";
import type { Means } from "../routing/via.ts";
import { currentRuntime } from "../runtime/runtime.ts";
import { type Arguments, UsageError } from "./arguments.ts";

/** @throws UsageError, which never shows what may be a password */
export function parseTarget(text: string): Endpoint {
  if (text.includes("@")) throw new UsageError("TARGET is host:port, without a user name");
  // What stands where a port should may be a password.
  if (/:[^:\]]*[^0-9:\]][^:\]]*$/.test(text) && !text.startsWith("[")) {
    throw new UsageError("TARGET is host:port; what stands behind the colon is no port");
  }
  try {
    return parseEndpoint(text);
  } catch (error) {
    if (error instanceof AddressError) throw new UsageError(`TARGET: ${error.message}`);
    throw error;
  }
}

/** The configuration of `-c` and `-F` for one target, and what its ways are made with. */
export async function configForTarget(
  { lists, values }: Arguments,
  used?: Used,
): Promise<{ config: Config; means: Means }> {
  const given = { listeners: [], hops: [...lists.F], file: values.c };
  const config = await configFromFlags(given, undefined, used);
  // The chain of -F is meant for this target; without it, the target takes its way like any other.
  const routes = lists.F.length > 0 ? undefined : config.routes;
  const network = namedNetwork(config, await currentRuntime());
  return { config: { ...config, routes }, means: { network, timeouts: config.timeouts } };
}
