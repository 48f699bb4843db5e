/**
 * Access rules: which targets clients are kept from, whatever route they would take.
 *
 * @module
 */
import { literalBytes } from "../core/address.ts";
import type { Guard } from "../core/conn.ts";
import { type Pattern, type Place, placeOf } from "./pattern.ts";
import { entriesOf, RuleIndex } from "./rule_index.ts";
import { specialUse } from "./special_use.ts";

/** What a configuration says of access. */
export interface AccessConfig {
  /** Private and other special-use addresses; by default clients of listeners on the loopback may reach them. */
  readonly private?: "allow" | "deny";
  readonly allow?: readonly Pattern[];
  readonly deny?: readonly Pattern[];
}

/** Makes the guard for the clients of a listener; none if they may reach everything. */
export function makeGuard(
  { private: kept, allow, deny }: AccessConfig,
  onLoopback: boolean,
): Guard | undefined {
  const denied = listed(deny);
  const allowed = listed(allow);
  const special = (kept ?? (onLoopback ? "allow" : "deny")) === "deny";
  if (!special && deny === undefined) return undefined;
  return {
    asked: (target) => denied(placeOf(target)) ? `${target.hostname} is listed in access.deny` : undefined,
    reached(target, address) {
      const places = [placeOf(target), placeOf({ hostname: address, port: target.port })];
      if (places.some(denied)) return `${address} is listed in access.deny`;
      if (!special || places.some(allowed)) return undefined;
      const bytes = literalBytes(address);
      const kind = bytes === undefined ? "an unknown" : specialUse(bytes);
      return kind && `${address} is ${kind} address (access.private)`;
    },
  };
}

function listed(to: readonly Pattern[] = []): (place: Place) => boolean {
  const index = new RuleIndex(entriesOf(to.length === 0 ? [] : [{ to }]));
  return (place) => index.find(place) !== undefined;
}
