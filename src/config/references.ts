/**
 * What can only be seen from above: names of what is not there, addresses taken twice, chains without a choice.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { suggestion } from "./nearest.ts";
import { type Path, quote } from "./problems.ts";
import { reservedNames } from "./protocols.ts";
import { report, type Reports } from "./values.ts";

/** As much of a configuration as is there: these checks run even when others have failed. */
interface Partly {
  readonly listeners?: unknown;
  readonly hops?: unknown;
  readonly chains?: unknown;
  readonly routes?: unknown;
}

/** Checks what one part of a configuration says of another. */
export function checkReferences({ listeners, hops, chains, routes }: Partly, ctx: Reports): void {
  for (const chain of keys(chains)) {
    checkElements((chains as Record<string, unknown>)[chain], keys(hops), ["chains", chain], ctx);
  }
  if (routes === undefined && keys(chains).length > 1 && !keys(chains).includes("cli")) {
    report(ctx, "several chains need `routes` to choose between them", ["chains"]);
  }
  if (Array.isArray(routes)) {
    routes.forEach((route, index) =>
      checkRoute(route ?? {}, { listeners, hops, chains }, ["routes", index], ctx)
    );
  }
  if (Array.isArray(listeners)) checkAddresses(listeners, ctx);
}

/** The hops of a chain, or of a route. */
function checkElements(elements: unknown, names: readonly string[], path: Path, ctx: Reports): void {
  if (!Array.isArray(elements)) return;
  elements.forEach((element, index) => {
    if (typeof element !== "string" || element.includes("://") || names.includes(element)) return;
    const { found, hint } = mistaken(element, names);
    report(ctx, `expected a hop's name or URL, found ${found}${hint}`, [...path, index]);
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
  checkElements(via, keys(known.hops), [...path, "via"], ctx);
  if (typeof via === "string") checkVia(via, known, [...path, "via"], ctx);
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

function checkVia(via: string, { hops, chains }: Partly, path: Path, ctx: Reports): void {
  const names = [...reservedNames, ...keys(chains)];
  if (names.includes(via)) return;
  if (keys(hops).includes(via)) {
    return report(ctx, `${quote(via)} is a hop; as a list it is a way: [${quote(via)}]`, path);
  }
  if (via.includes("://")) {
    return report(ctx, 'hops stand in a list, even if there is one: ["scheme://host"]', path);
  }
  const { found, hint } = mistaken(via, names);
  report(ctx, `expected "direct", "reject" or a chain's name, found ${found}${hint}`, path);
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
