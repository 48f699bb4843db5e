/**
 * What `target` says, made into what leads there: a server that the configuration names, or one of several.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import type { Dialer, Layer } from "../core/dialer.ts";
import { background } from "../core/handshake.ts";
import type { Target } from "../core/serve.ts";
import type { TargetConfig, TargetGroupConfig, ViaConfig } from "../config/schema.ts";
import { targetLayer } from "../registry.ts";
import { Group, type Report } from "./group.ts";
import { type Health, Healths, systemClock } from "./health.ts";
import type { GroupKind } from "./order.ts";
import { ofTarget } from "./verdict.ts";
import { type Means, reportTo, unguarded } from "./via.ts";

/** Makes a target; what is known of its servers is known for one way to them, if it is given. */
export function makeTarget(
  target: TargetConfig | TargetGroupConfig,
  { timeouts, log, healths = new Healths(), earlier }: Means,
  via?: ViaConfig,
): Target {
  const layerOf = (one: TargetConfig) => targetLayer(one, timeouts.connect);
  if (!("members" in target)) return { address: target.address, layer: layerOf(target) };
  const { kind, members } = target;
  const targets = members.map(({ weight, ...one }) => ({
    address: one.address,
    layer: layerOf(one),
    weight,
    health: healths.of(JSON.stringify([via, one]), earlier),
  }));
  return { address: targets[0].address, among: amongTargets(kind, targets, reportTo(log)) };
}

/** Leads to a target by a way, whatever is asked for; no client is kept from what the configuration names. */
export function leadingTo({ address, layer, among }: Target, way: Dialer): Dialer {
  return unguarded(among?.(way) ?? towards(address, layer, way));
}

/** One of the servers. */
interface GroupedTarget {
  readonly address: Endpoint;
  /** What goes around the connection to it. */
  readonly layer?: Layer;
  readonly weight: number;
  readonly health: Health;
}

/** Makes the dialer that chooses among targets and reaches them by a way; the same way has the same one. */
function amongTargets(
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
