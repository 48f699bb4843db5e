/**
 * Chains whose names have become what they stand for.
 *
 * @module
 */
import type { Endpoint } from "../core/conn.ts";
import type { Element, Group, Member, Weighted } from "./group.ts";
import type { HopConfig } from "./schema.ts";
import { type GroupKind, groupKinds } from "./protocols.ts";

/** What a chain is made of. */
export type ElementConfig = HopConfig | GroupConfig;

/** Several ways, of which one is chosen each time. */
export interface GroupConfig {
  readonly kind: GroupKind;
  readonly members: readonly MemberConfig[];
  readonly check?: { readonly target: Endpoint; readonly every: number };
}

/** Whether an element is a group. */
export function isGroup(element: ElementConfig): element is GroupConfig {
  return "members" in element;
}

/** One of the ways of a group; of no element, it leads on as if there were no group. */
export interface MemberConfig {
  /** What the configuration calls it. */
  readonly name?: string;
  readonly elements: readonly ElementConfig[];
  readonly weight: number;
}

/** Finds what names of hops and chains stand for; they have been checked. */
export class Ways {
  readonly #chains: Record<string, readonly Element[]>;
  readonly #found = new Map<string, ElementConfig[]>();

  constructor(readonly hops: Record<string, HopConfig>, chains: Record<string, readonly Element[]>) {
    this.#chains = chains;
  }

  /** The elements of a chain; none for `direct`. */
  chain(name: string): ElementConfig[] {
    const found = this.#found.get(name) ?? this.elements(name === "direct" ? [] : this.#chains[name]);
    this.#found.set(name, found);
    return found;
  }

  elements(elements: readonly Element[]): ElementConfig[] {
    return elements.map((element) => this.#element(element));
  }

  #element(element: Element): ElementConfig {
    if (typeof element === "string") return this.hops[element];
    return "protocol" in element ? element : this.#group(element);
  }

  #group(group: Group): GroupConfig {
    const kind = groupKinds.find((kind) => group[kind] !== undefined)!;
    const members = group[kind]!.map((given): MemberConfig =>
      isWeighted(given) ? { ...this.#member(given.via), weight: given.weight } : this.#member(given)
    );
    return { kind, members, ...(group.check && { check: group.check }) };
  }

  #member(member: Member): MemberConfig {
    if (Array.isArray(member)) return { elements: this.elements(member), weight: 1 };
    if (typeof member !== "string" || Object.hasOwn(this.hops, member)) {
      return { elements: [this.#element(member)], weight: 1 };
    }
    return { name: member, elements: this.chain(member), weight: 1 };
  }
}

function isWeighted(member: Member | Weighted): member is Weighted {
  return typeof member === "object" && "via" in member;
}
