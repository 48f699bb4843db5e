/**
 * Finds the route of a request; a name is looked up only for routes that have to know its address.
 *
 * A name travels to the hop that resolves it, so looking it up here would tell the resolver nearby what only the hop
 * should hear. Blocks of addresses are therefore for names, too, only where that is no news: when the name would
 * otherwise go directly, for which it is looked up anyway, or when the route asks for it (`resolve`).
 *
 * @module
 */
import { literalBytes } from "../core/address.ts";
import type { Facts, Rule } from "./rule.ts";
import { entriesOf, type Entry, RuleIndex } from "./rule_index.ts";

/** A route, as far as it is matched. */
export interface Matchable {
  readonly rule: Rule;
  readonly resolve?: boolean;
  readonly direct?: boolean;
}

/** What was found: the place of the route among all, and the addresses that it is for if any were looked up. */
export interface Match {
  readonly index?: number;
  readonly addresses?: readonly string[];
}

/** All addresses of a name. */
export type LookUp = (name: string) => Promise<readonly string[]>;

/** Finds routes. */
export class Matcher {
  readonly #routes: readonly Matchable[];
  readonly #all: RuleIndex;
  /** The blocks of addresses of every route, and of those that ask for it. */
  readonly #blocks: Record<"every" | "asking", Blocks>;

  constructor(routes: readonly Matchable[]) {
    this.#routes = routes;
    const entries = entriesOf(routes.map(({ rule }) => rule));
    this.#all = new RuleIndex(entries);
    const every = entries.filter(isBlock);
    this.#blocks = {
      every: new Blocks(every),
      asking: new Blocks(every.filter(({ order }) => routes[order].resolve)),
    };
  }

  /** The first route that matches; at once, unless the name has to be looked up. */
  match(facts: Facts, lookUp: LookUp): Match | Promise<Match> {
    const index = this.#all.find(facts)?.order;
    if (facts.name === undefined) return { index };
    const direct = index !== undefined && this.#routes[index].direct === true;
    const blocks = this.#blocks[direct ? "every" : "asking"];
    if (!blocks.mayMatter(facts, index)) return { index };
    return byAddress(
      facts.name,
      lookUp,
      !direct,
      (address) => blocks.find({ ...facts, name: undefined, address }, index),
    )
      .then((found) => ({ index, ...found }));
  }
}

/** Which route comes first for any of the addresses, and for which of them; without one, all addresses. */
async function byAddress(
  name: string,
  lookUp: LookUp,
  optional: boolean,
  find: (address: Uint8Array | undefined) => number | undefined,
): Promise<Match> {
  let addresses: readonly string[];
  try {
    addresses = await lookUp(name);
  } catch (error) {
    // A hop may still know the name.
    if (optional) return {};
    throw error;
  }
  const found = addresses.map((address) => find(literalBytes(address)));
  const index = Math.min(...found.map((order) => order ?? Infinity));
  if (index === Infinity) return { addresses };
  return { index, addresses: addresses.filter((_, at) => found[at] === index) };
}

/** The blocks of addresses among rules. */
class Blocks {
  readonly #entries: RuleIndex;
  /** The same for targets whose address is not known: what could match. */
  readonly #possible: RuleIndex;

  constructor(entries: readonly Entry[]) {
    this.#entries = new RuleIndex(entries);
    this.#possible = new RuleIndex(
      entries.map((entry) => ({ ...entry, pattern: { ...entry.pattern, host: "any" } })),
    );
  }

  mayMatter(facts: Facts, before?: number): boolean {
    return this.#possible.find(facts, before) !== undefined;
  }

  find(facts: Facts, before?: number): number | undefined {
    return this.#entries.find(facts, before)?.order;
  }
}

function isBlock({ pattern }: Entry): boolean {
  return typeof pattern?.host === "object" && "block" in pattern.host;
}
