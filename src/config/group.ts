/**
 * The schema of what stands in a chain: a hop, its name, or a group of them.
 *
 * @module
 */
import { z } from "zod";
import type { Endpoint } from "../core/conn.ts";
import type { ReadText } from "./files.ts";
import { hopSchema } from "./hop.ts";
import { type GroupKind, groupKinds } from "./protocols.ts";
import { parseAddress } from "./url.ts";
import { count, duration, parsed, report, type Reports } from "./values.ts";

type HopInput = z.input<ReturnType<typeof hopSchema>>;
type Hop = z.output<ReturnType<typeof hopSchema>>;

/** What may stand in a chain, as it is written. */
export type ElementInput = HopInput | GroupInput;
/** A member of a group, as it is written. */
export type MemberInput = ElementInput | ElementInput[];

/** A group, as it is written. */
export interface GroupInput extends Partial<Record<GroupKind, (MemberInput | WeightedInput)[]>> {
  check?: { target: string; every?: string };
}

interface WeightedInput {
  via: MemberInput;
  weight?: number;
}

/** What may stand in a chain, once it is checked; names are still names. */
export type Element = string | Hop | Group;
/** A member of a group; names are still names. */
export type Member = Element | Element[];

/** A group whose names are still names. */
export interface Group extends Partial<Record<GroupKind, (Member | Weighted)[]>> {
  check?: { target: Endpoint; every: number };
}

/** A member that is chosen more or less often than others. */
export interface Weighted {
  via: Member;
  weight: number;
}

/** What a chain is made of: hops' names, hops and groups; and groups alone. */
export interface ElementSchemas {
  readonly element: z.ZodType<Element, ElementInput>;
  readonly group: z.ZodType<Group, GroupInput>;
}

/** The schemas of what stands in a chain. */
export function elementSchemas(read: ReadText): ElementSchemas {
  const named = z.string().refine((text) => !text.includes("://"), { abort: true })
    .describe("The name of a hop; in a group, also of a chain, or direct.");
  const element: z.ZodType<Element, ElementInput> = z.lazy(() => z.union([group, hopSchema(read), named]));
  const member = z.union([element, z.array(element).min(1).describe("Hops, nearest first.")]);
  const group = groupSchema(member);
  return { element, group };
}

/** Lists of members, by the ways to choose among them; one of them has to be there. */
export function membersSchema<Out, In>(member: z.ZodType<Out, In>) {
  const weighted = strictly(
    ["via", "weight"],
    z.strictObject({
      via: member.describe("The member."),
      weight: count().default(1).describe("How often it is chosen, beside the others; for `random`."),
    }),
  );
  const members = z.array(z.union([weighted, member])).min(1).optional();
  return {
    failover: members.describe("The first member that works."),
    roundRobin: members.describe("One member after another."),
    random: members.describe(
      'Any member; { "via": …, "weight": 3 } is chosen three times as often as the others.',
    ),
    leastTunnels: members.describe("The member that carries the fewest tunnels."),
    fastest: members.describe("The member through which a connection takes the least time."),
  };
}

function groupSchema(member: z.ZodType<Member, MemberInput>) {
  const group = z.strictObject({
    ...membersSchema(member),
    check: z.strictObject({
      target: parsed((text) => parseAddress(text)).describe("host:port to connect to through each member."),
      every: duration().prefault("30s").describe("How often."),
    }).optional().describe("Find out which members work before clients do."),
  }).superRefine(checkGroup);
  return strictly(groupKinds, group);
}

/** One way to choose, and weights only where they have a meaning. */
export function checkGroup(group: Partial<Record<GroupKind, readonly unknown[]>>, ctx: Reports): void {
  const [kind, second] = groupKinds.filter((kind) => group[kind] !== undefined);
  if (kind === undefined) {
    report(ctx, `expected members in the order of one of ${groupKinds.join(", ")}`);
  } else if (second !== undefined) {
    report(ctx, `a group has one way to choose, and this one has \`${kind}\` too`, [second]);
  } else if (kind !== "random") {
    group[kind]!.forEach((member, index) => {
      if (typeof member !== "object" || member === null || !("via" in member)) return;
      report(ctx, "only `random` goes by weights; name the member alone", [kind, index]);
    });
  }
}

/** The schema for objects that have one of these keys; all others are of another kind, for a union to tell. */
export function strictly<S extends z.ZodType>(
  kinds: readonly string[],
  schema: S,
): z.ZodType<z.output<S>, z.input<S>> {
  const own = z.preprocess((value: z.input<S>, ctx) => {
    const such = typeof value === "object" && value !== null && kinds.some((kind) => kind in value);
    if (!such) ctx.addIssue({ code: "invalid_type", expected: "object", input: value });
    return value;
  }, schema);
  return z.nonoptional(own) as unknown as z.ZodType<z.output<S>, z.input<S>>;
}
