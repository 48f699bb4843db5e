/**
 * Which way a request takes: the first route whose conditions it meets.
 *
 * @module
 */
import type { Config } from "../config/schema.ts";
import { theChain } from "../config/schema.ts";
import type { Context } from "../core/conn.ts";
import type { Dialer } from "../core/dialer.ts";
import { ProxyError } from "../core/errors.ts";
import { type Asked, factsOf, ruleOf, unmet } from "./rule.ts";
import { type Means, type Via, viaMaker } from "./via.ts";

/** The way of one request. */
export interface Routed extends Via {
  /** The number of the route, from 1; absent without routes, and for what `-F` decides. */
  readonly route?: number;
  /** The same for all requests that go the same way: connections may be used again by those alone. */
  readonly way: object;
}

/** Finds the way of a request. One that is refused has a dialer that says so. */
export type Router = (asked: Asked, ctx: Context) => Routed | Promise<Routed>;

/** The router of a configuration; `dialer` stands in for whatever it says. */
export function makeRouter(config: Config, means: Means, dialer?: Dialer): Router {
  if (dialer !== undefined) return always({ dialer: programs(dialer), names: [] });
  const makeVia = viaMaker(means);
  if (config.routes === undefined) return always(makeVia(theChain(config) ?? { hops: [] }));
  const routes = config.routes.map((route) => {
    const { number } = route;
    const via = route.via === "reject" ? rejecting(`route ${number} rejects this`) : makeVia(route.via);
    return {
      rule: ruleOf(route),
      routed: { ...via, way: via, ...(number !== undefined && { route: number }) },
    };
  });
  const none = rejecting("no route matches");
  const unrouted = { ...none, way: none };
  return (asked) => {
    const facts = factsOf(asked);
    return routes.find(({ rule }) => unmet(rule, facts) === undefined)?.routed ?? unrouted;
  };
}

function always(via: Via): Router {
  const routed = { ...via, way: via };
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
