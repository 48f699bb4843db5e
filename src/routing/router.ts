/**
 * Which way a request takes: the first route whose conditions it meets.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import { theChain } from "../config/schema.ts";
import { ipVersion } from "../core/address.ts";
import type { Context, Endpoint } from "../core/conn.ts";
import type { Dialer } from "../core/dialer.ts";
import { type Network, unknownName } from "../core/direct.ts";
import { ProxyError } from "../core/errors.ts";
import { Scope } from "../core/scope.ts";
import type { Target } from "../core/serve.ts";
import { type Match, Matcher } from "./matcher.ts";
import { type Asked, factsOf, ruleOf } from "./rule.ts";
import { leadingTo, makeTarget } from "./targets.ts";
import { chainDialer, type Means, type Via, viaMaker } from "./via.ts";

/** The way of one request. */
export interface Routed extends Via {
  /** The number of the route, from 1; absent without routes, and for what `-F` decides. */
  readonly route?: number;
  /** Its dialer leads there, or to another of its group, whatever it is asked for. */
  readonly target?: Endpoint;
  /** The route, or the program, names its targets; for a reverse proxy there are no others. */
  readonly named?: boolean;
  /** The same for all requests that go the same way: connections may be used again by those alone. */
  readonly way: object;
}

/** Finds the way of a request. One that is refused has a dialer that says so. */
export type Router = (asked: Asked, ctx: Context) => Routed | Promise<Routed>;

/** The router of a configuration; `dialer` stands in for whatever it says. */
export function makeRouter(config: Config, means: Means, dialer?: Dialer): Router {
  if (dialer !== undefined) return always({ dialer: programs(dialer), names: [] }, true);
  const makeVia = viaMaker(means);
  if (config.routes === undefined) return always(makeVia(theChain(config) ?? { hops: [] }));
  const routes = config.routes.map((route) => {
    const { number, resolve } = route;
    const way = route.via === "reject" ? rejecting(`route ${number} rejects this`) : makeVia(route.via);
    const via = route.target === undefined ? way : led(way, makeTarget(route.target, means, route.via));
    const named = route.target !== undefined ||
      route.to !== undefined && route.to.every(({ host }) => host !== "any");
    const routed = { ...via, named, way: via, ...(number !== undefined && { route: number }) };
    return { rule: ruleOf(route), resolve, direct: via.direct, routed };
  });
  const none = rejecting("no route matches");
  const unrouted = { ...none, way: none };
  const matcher = new Matcher(routes);
  const found = ({ index, addresses }: Match): Routed => {
    const routed = index === undefined ? unrouted : routes[index].routed;
    if (addresses === undefined || !routed.direct) return routed;
    return { ...routed, dialer: chainDialer([], { ...means, network: knowing(means.network, addresses) }) };
  };
  return (asked, ctx) => {
    const match = matcher.match(factsOf(asked), (name) => lookUp(name, means, ctx));
    return match instanceof Promise ? match.then(found) : found(match);
  };
}

/** A way that leads to a target of its own. Where its requests ask to go need not be known, and is not looked up. */
function led(way: Via, target: Target) {
  return {
    ...way,
    dialer: leadingTo(target, way.dialer),
    direct: false,
    chooses: way.chooses || target.among !== undefined,
    target: target.address,
  };
}

/** All addresses of a name, looked up in the time that a connection may take. */
async function lookUp(name: string, { network, timeouts }: Means, parent: Context): Promise<string[]> {
  const ctx = new Scope(parent).limit(timeouts.connect);
  try {
    const families = await Promise.allSettled(
      ([6, 4] as const).map((family) => network.resolve(name, family, ctx)),
    );
    const addresses = families.flatMap((family) => family.status === "fulfilled" ? family.value : []);
    const [failure] = families.flatMap((family) => family.status === "rejected" ? [family.reason] : []);
    if (addresses.length > 0) return addresses;
    throw failure ?? unknownName(name);
  } finally {
    ctx.leave();
  }
}

/** The network for a name whose addresses are known: those, and no others, are connected to. */
function knowing(network: Network, addresses: readonly string[]): Network {
  return {
    connect: network.connect.bind(network),
    resolve: (_name, family) => Promise.resolve(addresses.filter((address) => ipVersion(address) === family)),
  };
}

function always(via: Via, named = false): Router {
  const routed = { ...via, named, way: via };
  return () => routed;
}

/** A program's own dialer: it may copy the context that it is given, so it gets a plain one. */
function programs(dialer: Dialer): Dialer {
  const { forward } = dialer;
  const plain = (ctx?: Context) => ctx && { signal: ctx.signal, outgoing: ctx.outgoing, client: ctx.client };
  return {
    dial: (target, ctx) => dialer.dial(target, plain(ctx)),
    ...(forward && { forward: (target, ctx) => forward.call(dialer, target, plain(ctx)) }),
  };
}

function rejecting(why: string): Via {
  return {
    names: [],
    dialer: {
      dial() {
        return Promise.reject(
          new ProxyError(why, { code: "denied", side: "local", stage: "request", hop: 0, label: "hopline" }),
        );
      },
    },
  };
}
