/**
 * Which routes a request meets, and what it lacks for the others.
 *
 * @module
 */
import { formatEndpoint, literalBytes } from "../../core/address.ts";
import type { Config, RouteConfig } from "../../config/schema.ts";
import { type Asked, type Facts, factsOf, type Rule, ruleOf, unmet } from "../../routing/rule.ts";
import { formatPattern, matchesPattern } from "../../routing/pattern.ts";

/** What became of one route. */
export interface RouteVerdict {
  /** From 1, as the log counts them. */
  readonly route: number;
  readonly outcome: "taken" | "matches too" | "does not match";
  /** What it asks for. */
  readonly conditions: string;
  /** What is not as it asks; for the route that is taken, what is. */
  readonly because?: string;
}

/** The verdict on every route, in their order. `taken` has won, by the addresses that were looked up for it if any were. */
export function verdicts(
  config: Config,
  asked: Asked,
  taken: number | undefined,
  addresses: readonly string[] | undefined,
): RouteVerdict[] {
  const facts = factsOf(asked);
  return (config.routes ?? []).map((route, index) => {
    const number = route.number ?? index + 1;
    const lacks = lacking(ruleOf(route), facts, addresses);
    const conditions = conditionsOf(route, config);
    if (number === taken) {
      return { route: number, outcome: "taken", conditions, because: met(route, facts, addresses) };
    }
    return lacks === undefined ? { route: number, outcome: "matches too", conditions } : {
      route: number,
      outcome: "does not match",
      conditions,
      because: because(lacks, route, asked, addresses),
    };
  });
}

/** What of a rule a target has not, by its name and by any of its addresses. */
function lacking(rule: Rule, facts: Facts, addresses: readonly string[] = []): keyof Rule | undefined {
  const byName = unmet(rule, facts);
  return byName === "to" && addresses.some((address) => unmet(rule, at(facts, address)) === undefined)
    ? undefined
    : byName;
}

function at(facts: Facts, address: string): Facts {
  return { ...facts, name: undefined, address: literalBytes(address) };
}

/** What in `to` speaks of the target. */
function met({ to }: RouteConfig, facts: Facts, addresses: readonly string[] = []): string | undefined {
  const places = [facts, ...addresses.map((address) => at(facts, address))];
  const pattern = to?.find((pattern) => places.some((place) => matchesPattern(pattern, place)));
  return pattern === undefined ? undefined : formatPattern(pattern);
}

function because(
  lacks: keyof Rule,
  { to = [] }: RouteConfig,
  { target, user, client, listener, protocol }: Asked,
  addresses: readonly string[] | undefined,
): string {
  if (lacks === "users") return user === undefined ? "no user is given (--user)" : `the user is ${user}`;
  if (lacks === "from") {
    const source = client?.source?.hostname;
    return source === undefined ? "no client is given (--from)" : `the client is ${source}`;
  }
  if (lacks === "listeners") {
    return listener === undefined ? "no listener is given (--listener)" : "another listener";
  }
  if (lacks === "protocols") {
    return protocol === undefined ? "no protocol is given (--protocol)" : `the protocol is ${protocol}`;
  }
  const blocks = to.some(({ host }) => typeof host === "object" && "block" in host);
  const unseen = blocks && addresses === undefined && literalBytes(target.hostname) === undefined;
  return unseen
    ? "the name is not among them, and its addresses are not looked up here"
    : "the target is not among them";
}

const mostPatterns = 3;

function conditionsOf({ to, from, users, listeners, protocols }: RouteConfig, config: Config): string {
  const address = (index: number) => formatEndpoint(config.listeners[index].address);
  const parts = [
    to && `to ${some(to.map(formatPattern))}`,
    from && `from ${some(from.map(({ address, prefix }) => `${address}/${prefix}`))}`,
    users && `users ${some(users)}`,
    listeners && `listeners ${some(listeners.map(address))}`,
    protocols && `protocols ${some(protocols)}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? "everything" : parts.join("; ");
}

function some(words: readonly string[]): string {
  const more = words.length - mostPatterns;
  return more > 0 ? `${words.slice(0, mostPatterns).join(", ")} and ${more} more` : words.join(", ");
}
