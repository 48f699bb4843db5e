/**
 * What `via` says, made into a dialer.
 *
 * @module
 */
import type { HopConfig, ViaConfig } from "../config/schema.ts";
import { type Dialer, fold, limited } from "../core/dialer.ts";
import { directDialer, type Network } from "../core/direct.ts";
import { hopLabel, makeHop } from "../registry.ts";

/** A way that requests may be given. Two requests that have the same one go the same way. */
export interface Via {
  readonly dialer: Dialer;
  /** The names of its hops, for the log. */
  readonly names: readonly string[];
  /** No hop is on it: names are looked up here. */
  readonly direct?: boolean;
}

/** What dialers are made with. */
export interface Means {
  readonly network: Network;
  readonly timeouts: { readonly connect: number; readonly handshake: number };
  /** When it aborts, no idle connections are kept. */
  readonly retired?: AbortSignal;
}

/** Makes ways; the same chain is the same way, so that who takes it shares its connections. */
export function viaMaker(means: Means): (via: Exclude<ViaConfig, "reject">) => Via {
  const made = new Map<string, Via>();
  return ({ name, hops }) => {
    const known = name === undefined ? undefined : made.get(name);
    if (known !== undefined) return known;
    const via = {
      dialer: chainDialer(hops, means),
      names: hops.map((hop) => hop.name ?? hopLabel(hop)),
      direct: hops.length === 0,
    };
    if (name !== undefined) made.set(name, via);
    return via;
  };
}

/** The dialer of a chain of hops, each within its own time. */
export function chainDialer(
  hops: readonly HopConfig[],
  { network, timeouts, retired }: Means,
): Dialer {
  const first = limited(directDialer(network), hops[0]?.timeout ?? timeouts.connect);
  const resolve = network.resolve.bind(network);
  return fold(first, hops.map((hop) => makeHop(hop, resolve, timeouts.handshake, retired)));
}
