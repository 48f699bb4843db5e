/**
 * One route's conditions, and whether a request meets them: what the index has to agree with, and what can say why not.
 *
 * @module
 */
import { literalBytes } from "../core/address.ts";
import type { Cidr } from "../core/cidr.ts";
import type { Client, Endpoint } from "../core/conn.ts";
import {
  type Block,
  blockOf,
  inBlock,
  matchesPattern,
  type Pattern,
  type Place,
  placeOf,
} from "./pattern.ts";

/** What a route asks of a request; what is absent is not asked. */
export interface Conditions {
  /** Where it goes. */
  readonly to?: readonly Pattern[];
  /** Where the client comes from. */
  readonly from?: readonly Cidr[];
  readonly users?: readonly string[];
  /** Listeners, by their place in the configuration. */
  readonly listeners?: readonly number[];
  /** As a configuration calls them: every version of HTTP is `http`. */
  readonly protocols?: readonly string[];
}

/** A request for a way to a target. */
export interface Asked {
  readonly target: Endpoint;
  /** Who asks; absent where nobody does, as in `hopline connect`. */
  readonly client?: Client;
  /** The user that passed the gate. */
  readonly user?: string;
  readonly listener?: number;
  readonly protocol?: string;
}

/** Conditions that are looked up instead of gone through. */
export interface Rule {
  readonly to?: readonly Pattern[];
  readonly from?: readonly Block[];
  readonly users?: ReadonlySet<string>;
  readonly listeners?: ReadonlySet<number>;
  readonly protocols?: ReadonlySet<string>;
}

/** What of a request is compared with rules. */
export interface Facts extends Place {
  readonly source?: Uint8Array;
  readonly user?: string;
  readonly listener?: number;
  readonly protocol?: string;
}

/** Makes a rule of conditions. */
export function ruleOf({ to, from, users, listeners, protocols }: Conditions): Rule {
  return {
    to,
    from: from?.map(blockOf),
    users: users && new Set(users),
    listeners: listeners && new Set(listeners),
    protocols: protocols && new Set(protocols),
  };
}

/** What is compared of a request. */
export function factsOf({ target, client, user, listener, protocol }: Asked): Facts {
  const source = client?.source && literalBytes(client.source.hostname);
  return { ...placeOf(target), source, user, listener, protocol };
}

/** The condition that a request does not meet; nothing when it meets all. */
export function unmet(rule: Rule, facts: Facts): keyof Rule | undefined {
  const { to, from, users, listeners, protocols } = rule;
  const { source, user, listener, protocol } = facts;
  if (listeners !== undefined && !(listener !== undefined && listeners.has(listener))) return "listeners";
  if (protocols !== undefined && !(protocol !== undefined && protocols.has(protocol))) return "protocols";
  if (users !== undefined && !(user !== undefined && users.has(user))) return "users";
  if (from !== undefined && !from.some((block) => source !== undefined && inBlock(block, source))) {
    return "from";
  }
  if (to !== undefined && !to.some((pattern) => matchesPattern(pattern, facts))) return "to";
  return undefined;
}
