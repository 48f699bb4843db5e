/**
 * Groups of targets: a port forward that leads to several servers.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import type { Dialer, Layer } from "../core/dialer.ts";
import { background } from "../core/handshake.ts";
import { Group, type Report } from "./group.ts";
import { type Health, systemClock } from "./health.ts";
import type { GroupKind } from "./order.ts";
import { ofTarget } from "./verdict.ts";

/** One of the servers. */
export interface GroupedTarget {
  readonly address: Endpoint;
  /** What goes around the connection to it. */
  readonly layer?: Layer;
  readonly weight: number;
  readonly health: Health;
}

/** Makes the dialer that chooses among targets and reaches them by a way; the same way has the same one. */
export function amongTargets(
  kind: GroupKind,
  targets: readonly GroupedTarget[],
  report: Report,
): (way: Dialer) => Dialer {
  const made = new WeakMap<Dialer, Group>();
  const members = targets.map(({ address, layer, weight, health }) => ({
    name: formatEndpoint(address),
    health,
    weight,
    wrap: (way: Dialer) => towards(address, layer, way),
    verdict: ofTarget,
  }));
  return (way) => {
    const group = made.get(way) ?? new Group({ kind, members, clock: systemClock, report }, way);
    made.set(way, group);
    return group;
  };
}

/** Leads to one place, whatever is asked for. */
function towards(address: Endpoint, layer: Layer | undefined, way: Dialer): Dialer {
  return {
    async dial(_target, ctx = background) {
      if (ctx.trail !== undefined) ctx.trail.target = address;
      const conn = await way.dial(address, ctx);
      try {
        return layer === undefined ? conn : await layer(conn, address, ctx);
      } catch (error) {
        conn.abort();
        throw error;
      }
    },
  };
}
