/**
 * A way, hop by hop: what each is, and who looks up which name.
 *
 * @module
 */
import { formatEndpoint, ipVersion } from "../../core/address.ts";
import type { Endpoint } from "../../core/conn.ts";
import type { ElementConfig, GroupConfig, HopConfig } from "../../config/schema.ts";
import { isGroup } from "../../config/ways.ts";
import { hopLabel } from "../../registry.ts";

/** A hop, or a group of ways of which one is taken. */
export type Step =
  | { readonly hop: string; readonly label: string; readonly tls?: string }
  | {
    readonly group: string;
    readonly members: readonly { readonly name?: string; readonly way: readonly Step[] }[];
  };

/** A name on the way, and who finds its address. */
export interface Resolution {
  readonly name: string;
  /** `here`, or the hop that is given the name. */
  readonly by: string;
}

/** The elements of a way, as they are shown. */
export function stepsOf(elements: readonly ElementConfig[]): Step[] {
  return elements.map((element) => isGroup(element) ? groupStep(element) : hopStep(element));
}

function hopStep(hop: HopConfig): Step {
  const { name, address, tls } = hop;
  const url = hopLabel({ ...hop, name: undefined });
  return { hop: name ?? url, label: url, ...(tls && { tls: tlsOf(tls, address) }) };
}

function tlsOf({ serverName, pins, insecure, ca }: NonNullable<HopConfig["tls"]>, address: Endpoint): string {
  const name = serverName || address.hostname;
  const verified = insecure
    ? "NOT verified"
    : `verified for ${name}${ca === undefined ? "" : " by its own CA"}`;
  const sent = serverName === "" ? ["no server name is sent"] : [];
  const pinned = pins.length === 0 ? [] : [`${pins.length} pinned ${pins.length === 1 ? "key" : "keys"}`];
  return [verified, ...sent, ...pinned].join(", ");
}

function groupStep({ kind, members }: GroupConfig): Step {
  return { group: kind, members: members.map(({ name, elements }) => ({ name, way: stepsOf(elements) })) };
}

/** Who looks up the names of a way, and those of the targets, in the order of the way. */
export function resolutions(elements: readonly ElementConfig[], targets: readonly Endpoint[]): Resolution[] {
  const found: Resolution[] = [];
  const add = (name: string, by: string) => {
    const known = found.some((one) => one.name === name && one.by === by);
    if (ipVersion(name) === 0 && !known) found.push({ name, by });
  };
  for (const { before, at } of follow(elements, ["here"])) {
    for (const by of before) add(at.address.hostname, by);
  }
  for (const { hostname } of targets) {
    for (const by of resolversAfter(elements, ["here"])) add(hostname, by);
  }
  return found;
}

/** Every hop of a way, with those who may have to find it. */
function follow(
  elements: readonly ElementConfig[],
  before: readonly string[],
): { before: readonly string[]; at: HopConfig }[] {
  return elements.flatMap((element, index) => {
    const those = resolversAfter(elements.slice(0, index), before);
    return isGroup(element)
      ? element.members.flatMap((member) => follow(member.elements, those))
      : [{ before: those, at: element }];
  });
}

/** Who finds what comes behind these elements: the last hop, unless it has to be given addresses. */
function resolversAfter(elements: readonly ElementConfig[], before: readonly string[]): readonly string[] {
  const last = elements.at(-1);
  if (last === undefined) return before;
  if (isGroup(last)) {
    const nearer = resolversAfter(elements.slice(0, -1), before);
    return [...new Set(last.members.flatMap((member) => resolversAfter(member.elements, nearer)))];
  }
  const local = last.resolve === "local" || last.protocol === "socks4";
  return local ? ["here"] : [last.name ?? formatEndpoint(last.address)];
}

/** The servers that are reached without any hop. */
export function firstServers(elements: readonly ElementConfig[]): Endpoint[] | "anything" {
  const [first, ...rest] = elements;
  if (first === undefined) return "anything";
  if (!isGroup(first)) return [first.address];
  const all: Endpoint[] = [];
  for (const { elements } of first.members) {
    const servers = firstServers([...elements, ...rest]);
    if (servers === "anything") return servers;
    all.push(...servers);
  }
  return all;
}
