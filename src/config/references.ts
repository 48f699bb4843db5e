/**
 * What can only be seen from above: names of what is not there, addresses taken twice, chains without a choice.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { suggestion } from "./nearest.ts";
import { type Path, quote } from "./problems.ts";
import { groupKinds, reservedNames } from "./protocols.ts";
import { report, type Reports } from "./values.ts";

/** As much of a configuration as is there: these checks run even when others have failed. */
interface Partly {
  readonly listeners?: unknown;
  readonly hops?: unknown;
  readonly chains?: unknown;
  readonly routes?: unknown;
  readonly names?: unknown;
}

/** Checks what one part of a configuration says of another. */
export function checkReferences({ listeners, hops, chains, routes, names }: Partly, ctx: Reports): void {
  for (const chain of keys(chains)) {
    checkElements((chains as Chains)[chain], { hops, chains }, ["chains", chain], ctx);
    checkLoops(chain, chains as Chains, ctx);
  }
  if (routes === undefined && keys(chains).length > 1 && !keys(chains).includes("cli")) {
    report(ctx, "several chains need `routes` to choose between them", ["chains"]);
  }
  if (Array.isArray(routes)) {
    routes.forEach((route, index) =>
      checkRoute(route ?? {}, { listeners, hops, chains }, ["routes", index], ctx)
    );
  }
  const { via } = (names ?? {}) as { via?: unknown };
  checkWay(via, ["direct"], { hops, chains }, ["names", "via"], ctx);
  if (Array.isArray(listeners)) {
    checkAddresses(listeners, ctx);
    if (routes === undefined) checkReverse(listeners, ctx);
  }
}

type Chains = Readonly<Record<string, unknown>>;

/** The hops and groups of a chain, or of a route. */
function checkElements(elements: unknown, known: Partly, path: Path, ctx: Reports): void {
  if (!Array.isArray(elements)) return;
  const names = keys(known.hops);
  elements.forEach((element, index) => {
    if (typeof element !== "string") return checkGroup(element, known, [...path, index], ctx);
    if (element.includes("://") || names.includes(element)) return;
    const { found, hint } = mistaken(element, names);
    report(ctx, `expected a hop's name or URL, found ${found}${hint}`, [...path, index]);
  });
}

/** The members of a group; what is none has none. */
function checkGroup(group: unknown, known: Partly, path: Path, ctx: Reports): void {
  for (const { member, at } of membersOf(group)) {
    if (typeof member === "string") checkMember(member, known, [...path, ...at], ctx);
    else if (Array.isArray(member)) checkElements(member, known, [...path, ...at], ctx);
    else checkGroup(member, known, [...path, ...at], ctx);
  }
}

function checkMember(name: string, { hops, chains }: Partly, path: Path, ctx: Reports): void {
  const [hop, chain] = [keys(hops).includes(name), keys(chains).includes(name)];
  if (hop && chain) {
    report(ctx, `${quote(name)} is the name of a hop and of a chain: rename one of them`, path);
  }
  if (hop || chain || name === "direct" || name.includes("://")) return;
  const { found, hint } = mistaken(name, ["direct", ...keys(chains), ...keys(hops)]);
  report(
    ctx,
    `expected "direct", or the name of a hop or chain, or a hop's URL, found ${found}${hint}`,
    path,
  );
}

/** A chain that names itself, by way of others or not, would have no end. */
function checkLoops(chain: string, chains: Chains, ctx: Reports): void {
  const leadsBack = (name: string, seen: Set<string>): boolean => {
    if (name === chain) return true;
    if (seen.has(name) || !Object.hasOwn(chains, name)) return false;
    seen.add(name);
    return namesIn(chains[name]).some(({ name }) => leadsBack(name, seen));
  };
  for (const { name, at } of namesIn(chains[chain])) {
    if (leadsBack(name, new Set())) {
      report(ctx, `the chain ${quote(chain)} leads back to itself`, ["chains", chain, ...at]);
    }
  }
}

/** The names in the groups of these elements, and where they stand. */
function namesIn(elements: unknown): { name: string; at: Path }[] {
  if (!Array.isArray(elements)) return [];
  return elements.flatMap((element, index) => within([index], namesInGroup(element)));
}

function namesInGroup(group: unknown): { name: string; at: Path }[] {
  return membersOf(group).flatMap(({ member, at }) => {
    if (typeof member === "string") return [{ name: member, at }];
    return within(at, Array.isArray(member) ? namesIn(member) : namesInGroup(member));
  });
}

function within(path: Path, names: readonly { name: string; at: Path }[]): { name: string; at: Path }[] {
  return names.map(({ name, at }) => ({ name, at: [...path, ...at] }));
}

function membersOf(group: unknown): { member: unknown; at: Path }[] {
  if (typeof group !== "object" || group === null) return [];
  return groupKinds.flatMap((kind) => {
    const members = (group as Partial<Record<string, unknown>>)[kind];
    if (!Array.isArray(members)) return [];
    return members.map((member, index) => {
      const weighted = typeof member === "object" && member !== null && "via" in member;
      return weighted ? { member: member.via, at: [kind, index, "via"] } : { member, at: [kind, index] };
    });
  });
}

/** Words for what is no name; an address in the place of one may carry a password: alice:secret@host, or the half of it. */
function mistaken(text: string, names: readonly string[]): { found: string; hint: string } {
  const sign = ["@", ":"].find((one) => text.includes(one));
  if (sign !== undefined) return { found: `something with ${sign === "@" ? "an @" : "a colon"}`, hint: "" };
  return { found: quote(text), hint: suggestion(text, names) };
}

function checkRoute(
  { via, listeners, users }: { via?: unknown; listeners?: unknown; users?: unknown },
  known: Partly,
  path: Path,
  ctx: Reports,
): void {
  checkWay(via, reservedNames, known, [...path, "via"], ctx);
  if (Array.isArray(listeners) && Array.isArray(known.listeners)) {
    const addresses = known.listeners.map(addressOf);
    listeners.forEach((listener, index) => {
      const address = addressOf({ address: listener });
      if (address === undefined || addresses.includes(address)) return;
      const hint = suggestion(address, addresses.filter((one) => one !== undefined));
      report(ctx, `no listener has the address ${address}${hint}`, [...path, "listeners", index]);
    });
  }
  const names = usersOf(known.listeners);
  if (Array.isArray(users) && names !== undefined) {
    users.forEach((user, index) => {
      if (typeof user !== "string" || names.includes(user)) return;
      report(ctx, `no listener has the user ${quote(user)}${suggestion(user, names)}`, [
        ...path,
        "users",
        index,
      ]);
    });
  }
}

/** A way: the name of a chain or one of `others`, a group, or a list of hops and groups. */
function checkWay(via: unknown, others: readonly string[], known: Partly, path: Path, ctx: Reports): void {
  checkElements(via, known, path, ctx);
  checkGroup(via, known, path, ctx);
  if (typeof via === "string") checkVia(via, others, known, path, ctx);
}

function checkVia(
  via: string,
  others: readonly string[],
  { hops, chains }: Partly,
  path: Path,
  ctx: Reports,
): void {
  const names = [...others, ...keys(chains)];
  if (names.includes(via)) return;
  if (keys(hops).includes(via)) {
    return report(ctx, `${quote(via)} is a hop; as a list it is a way: [${quote(via)}]`, path);
  }
  if (via.includes("://")) {
    return report(ctx, 'hops stand in a list, even if there is one: ["scheme://host"]', path);
  }
  const { found, hint } = mistaken(via, names);
  const expected = others.map((name) => `"${name}"`).join(", ");
  report(ctx, `expected ${expected} or a chain's name, found ${found}${hint}`, path);
}

/** The names of all users; nothing when they can't be known. */
function usersOf(listeners: unknown): string[] | undefined {
  if (!Array.isArray(listeners)) return undefined;
  const names: string[] = [];
  for (const listener of listeners) {
    const { users = [] } = (listener ?? {}) as { users?: unknown };
    if (typeof listener !== "object" || !Array.isArray(users)) return undefined;
    for (const user of users) {
      if (typeof user?.username !== "string") return undefined;
      names.push(user.username);
    }
  }
  return names;
}

function checkAddresses(listeners: readonly unknown[], ctx: Reports): void {
  const seen = new Set<string>();
  listeners.forEach((listener: unknown, index) => {
    const address = addressOf(listener);
    if (address === undefined) return;
    if (!address.endsWith(":0") && seen.has(address)) {
      report(ctx, `another listener has the address ${address}`, ["listeners", index]);
    }
    seen.add(address);
  });
}

/** The address of a listener, in one form for one place. */
export function addressOf(listener: unknown): string | undefined {
  const { address } = (listener ?? {}) as { address?: Partial<Endpoint> };
  const { hostname, port } = address ?? {};
  if (typeof hostname !== "string" || typeof port !== "number") return undefined;
  return formatEndpoint({ hostname: hostname.toLowerCase(), port });
}

function keys(value: unknown): string[] {
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}

/** Without routes, a reverse proxy serves nothing. */
function checkReverse(listeners: readonly unknown[], ctx: Reports): void {
  listeners.forEach((listener: unknown, index) => {
    const { reverse } = (listener ?? {}) as { reverse?: unknown };
    if (reverse !== true) return;
    const message =
      "a reverse proxy serves the sites that `routes` name in their `to`; there are no `routes`";
    report(ctx, message, ["listeners", index, "reverse"]);
  });
}
