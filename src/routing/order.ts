/**
 * In which order the members of a group are tried, as far as they work.
 *
 * @module
 */
import type { Clock, Health } from "./health.ts";

/** The ways to choose. */
export type GroupKind = "failover" | "roundRobin" | "random" | "leastTunnels" | "fastest";

/** What a choice is made by. */
export interface Choosable {
  readonly health: Health;
  /** How often it is chosen, beside the others; for `random`. */
  readonly weight: number;
}

/** Of so many dials, one goes to the member whose time was measured longest ago. */
const exploring = 1 / 20;

/** Makes the order of each dial. */
export function orderOf(kind: GroupKind, clock: Clock): <M extends Choosable>(members: readonly M[]) => M[] {
  let turn = 0;
  const rotated = <M>(members: readonly M[]): M[] => {
    const first = turn++ % members.length;
    return [...members.slice(first), ...members.slice(0, first)];
  };
  switch (kind) {
    case "failover":
      return (members) => [...members];
    case "roundRobin":
      return rotated;
    case "random":
      return (members) => drawn(members, clock);
    case "leastTunnels":
      // Rotated first, for those that carry as many.
      return (members) => rotated(members).sort((a, b) => a.health.tunnels - b.health.tunnels);
    case "fastest":
      return (members) => byTime(members, clock);
  }
}

function drawn<M extends Choosable>(members: readonly M[], { random }: Clock): M[] {
  const rest = [...members];
  const order: M[] = [];
  while (rest.length > 0) {
    let at = random() * rest.reduce((sum, { weight }) => sum + weight, 0);
    const found = rest.findIndex(({ weight }) => (at -= weight) < 0);
    order.push(...rest.splice(Math.max(found, 0), 1));
  }
  return order;
}

/** What was never measured is tried before all else, and what was measured long ago now and then. */
function byTime<M extends Choosable>(members: readonly M[], { random }: Clock): M[] {
  const order = [...members].sort((a, b) => (a.health.dialMs ?? -1) - (b.health.dialMs ?? -1));
  if (random() >= exploring) return order;
  const oldest = order.reduce((a, b) => b.health.measuredAt < a.health.measuredAt ? b : a);
  return [oldest, ...order.filter((member) => member !== oldest)];
}
