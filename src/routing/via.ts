/**
 * What `via` says, made into a dialer.
 *
 * @module
 */
import type { ElementConfig, GroupConfig, HopConfig, MemberConfig, ViaConfig } from "../config/schema.ts";
import { isGroup } from "../config/ways.ts";
import { type Dialer, limited, place } from "../core/dialer.ts";
import type { Context } from "../core/conn.ts";
import { guardedDialer, type Network } from "../core/direct.ts";
import { told } from "../core/scope.ts";
import type { Log } from "../log.ts";
import { hopLabel, makeHop } from "../registry.ts";
import { keepChecking } from "./checks.ts";
import { Group, groupName, type Member, type Report } from "./group.ts";
import { Healths, systemClock } from "./health.ts";
import { ofHops, ofNothing } from "./verdict.ts";

/** A way that requests may be given. Two requests that have the same one go the same way. */
export interface Via {
  readonly dialer: Dialer;
  /** The names of its hops, for the log. */
  readonly names: readonly string[];
  /** No hop is on it: names are looked up here. */
  readonly direct?: boolean;
  /** It has groups: which hops a dial takes is told by its trail. */
  readonly chooses?: boolean;
}

/** What dialers are made with. */
export interface Means {
  readonly network: Network;
  readonly timeouts: { readonly connect: number };
  /** When it aborts, no idle connections are kept and no members are checked. Without it, none are checked at all. */
  readonly retired?: AbortSignal;
  /** Where it is told that members of groups fail, and work again. */
  readonly log?: Log;
  /** What is known of the members of groups, and what was known before this configuration. */
  readonly healths?: Healths;
  readonly earlier?: Healths;
}

/** Makes ways; the same chain is the same way, so that who takes it shares its connections. */
export function viaMaker(means: Means): (via: Exclude<ViaConfig, "reject">) => Via {
  const made = new Map<string, Via>();
  return ({ name, hops }) => {
    const known = name === undefined ? undefined : made.get(name);
    if (known !== undefined) return known;
    const chooses = hops.some(isGroup);
    const via = {
      dialer: chainDialer(hops, means),
      names: hops.map(nameOf),
      direct: hops.length === 0,
      ...(chooses && { chooses }),
    };
    if (name !== undefined) made.set(name, via);
    return via;
  };
}

/** The dialer of a chain, each hop within its own time. */
export function chainDialer(elements: readonly ElementConfig[], means: Means): Dialer {
  const { healths = new Healths() } = means;
  return new Chains({ ...means, healths }).extend(
    { dialer: guardedDialer(means.network), before: [] },
    elements,
  );
}

/** A way so far. */
interface Way {
  readonly dialer: Dialer;
  /** What it leads through: the same member on another way is another member. */
  readonly before: readonly ElementConfig[];
}

class Chains {
  constructor(readonly means: Means & { readonly healths: Healths }) {}

  /** Leads a way on through these elements. */
  extend(way: Way, elements: readonly ElementConfig[]): Dialer {
    const [first] = elements;
    let { dialer, before } = way;
    if (before.length === 0 && (first === undefined || !isGroup(first))) {
      dialer = limited(dialer, first?.timeout ?? this.means.timeouts.connect);
    }
    for (const element of elements) {
      dialer = isGroup(element)
        ? this.#group(element, { dialer, before })
        : this.#hop(element, dialer, before.length + 1);
      before = [...before, element];
    }
    return dialer;
  }

  #hop(config: HopConfig, next: Dialer, position: number): Dialer {
    const { network, timeouts, retired } = this.means;
    const hop = makeHop(config, network.resolve.bind(network), timeouts.connect, retired);
    return place(hop.wrap(unguarded(next)), position, hop.label, hop.name);
  }

  #group({ kind, members, check }: GroupConfig, { dialer, before }: Way): Dialer {
    const { log, retired } = this.means;
    const group = new Group({
      kind,
      members: members.map((member) => this.#member(member, before)),
      clock: systemClock,
      report: reportTo(log),
      checked: check !== undefined && retired !== undefined,
    }, dialer);
    if (check !== undefined && retired !== undefined) keepChecking(group, check, retired);
    return group;
  }

  #member(member: MemberConfig, before: readonly ElementConfig[]): Member {
    const { healths, earlier } = this.means;
    const { elements, weight } = member;
    return {
      name: memberName(member),
      health: healths.of(JSON.stringify([before, elements]), earlier),
      weight,
      wrap: (dialer) => this.extend({ dialer, before }, elements),
      verdict: elements.length === 0 ? ofNothing : ofHops,
    };
  }
}

/** Has the log told of members that fail, and work again. */
export function reportTo(log?: Log): Report {
  return (event, facts) => log?.(event === "down" ? "warn" : "info", `member.${event}`, { ...facts });
}

/** What is dialled is the configuration's own: no client is kept from it. */
export function unguarded(dialer: Dialer): Dialer {
  const plain = (ctx?: Context) => ctx?.guard === undefined ? ctx : told(ctx, { guard: undefined });
  return { dial: (target, ctx) => dialer.dial(target, plain(ctx)) };
}

function nameOf(element: ElementConfig): string {
  if (!isGroup(element)) return element.name ?? hopLabel(element);
  return groupName(element.kind, element.members.map((member) => ({ name: memberName(member) })));
}

function memberName({ name, elements }: MemberConfig): string {
  return name ?? elements.map(nameOf).join(" > ");
}
