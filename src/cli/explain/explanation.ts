/**
 * Why a target takes the way that it takes; nothing is connected to find out, and only names are looked up that a route
 * needs the addresses of.
 *
 * @module
 */
import { formatEndpoint, isLoopback, literalBytes } from "../../core/address.ts";
import { background } from "../../core/handshake.ts";
import type { Network } from "../../core/direct.ts";
import type { Used } from "../../config/load.ts";
import {
  type Config,
  type ElementConfig,
  type TargetConfig,
  type TargetGroupConfig,
  theChain,
} from "../../config/schema.ts";
import { makeGuard } from "../../routing/access.ts";
import { groupName } from "../../routing/group.ts";
import { makeRouter } from "../../routing/router.ts";
import type { Asked } from "../../routing/rule.ts";
import { permissions } from "./permissions.ts";
import { type RouteVerdict, verdicts } from "./routes.ts";
import { firstServers, type Resolution, resolutions, type Step, stepsOf } from "./way.ts";

/** All that there is to say. */
export interface Explanation {
  readonly target: string;
  readonly verdict: "routed" | "rejected" | "unrouted" | "unresolved";
  /** Why the name has no address, where a route that may be its own has to know one. */
  readonly error?: string;
  /** From 1; absent without routes. */
  readonly route?: number;
  /** The route's own target, or a group of them, where it has one. */
  readonly leadsTo?: string;
  readonly via: readonly string[];
  readonly routes: readonly RouteVerdict[];
  /** Absent for what is rejected. */
  readonly way?: readonly Step[];
  readonly names: readonly Resolution[];
  /** What had to be looked up to choose a route. */
  readonly lookedUp?: { readonly name: string; readonly addresses: readonly string[] };
  /** What `access` says of the target. */
  readonly access: readonly string[];
  /** The flags of `deno run`. */
  readonly permissions: readonly string[];
}

/** Explains; `asked` may stand in for a client. */
export async function explanation(
  config: Config,
  asked: Asked,
  network: Network,
  used: Used,
): Promise<Explanation> {
  const looked = new Set<string>();
  let asking = false;
  const noting: Network = {
    connect: network.connect.bind(network),
    async resolve(name, family, ctx) {
      asking = true;
      const addresses = await network.resolve(name, family, ctx);
      for (const address of addresses) looked.add(address);
      return addresses;
    },
  };
  const { routes } = config;
  const means = { network: noting, timeouts: config.timeouts };
  let route: number | undefined;
  let via: readonly string[] = [];
  let unknown: string | undefined;
  try {
    ({ route, names: via } = await makeRouter(config, means)(asked, background));
  } catch (error) {
    // The name that a route needs the address of is not known: so it is not reached.
    unknown = (error as Error).message;
  }
  const addresses = asking ? [...looked] : undefined;
  const taken = routes?.find(({ number }) => number === route && route !== undefined);
  const rejected = taken?.via === "reject";
  const elements: readonly ElementConfig[] | undefined = taken === undefined
    ? routes === undefined ? theChain(config)?.hops ?? [] : undefined
    : taken.via === "reject"
    ? undefined
    : taken.via.hops;
  const servers = taken?.target && ("members" in taken.target ? taken.target.members : [taken.target]);
  return {
    target: formatEndpoint(asked.target),
    verdict: unknown !== undefined
      ? "unresolved"
      : rejected
      ? "rejected"
      : elements === undefined
      ? "unrouted"
      : "routed",
    ...(unknown !== undefined && { error: unknown }),
    ...(route !== undefined && { route }),
    ...(taken?.target && { leadsTo: targetName(taken.target) }),
    via,
    routes: verdicts(config, asked, route, addresses),
    ...(elements && { way: stepsOf(elements) }),
    names: elements === undefined
      ? []
      : resolutions(elements, servers?.map(({ address }) => address) ?? [asked.target]),
    ...(addresses && { lookedUp: { name: asked.target.hostname, addresses } }),
    access: elements === undefined
      ? []
      : accessOf(config, asked, servers === undefined && firstServers(elements) === "anything"),
    permissions: permissions(config, used),
  };
}

function targetName(target: TargetConfig | TargetGroupConfig): string {
  if (!("members" in target)) return formatEndpoint(target.address);
  return groupName(target.kind, target.members.map(({ address }) => ({ name: formatEndpoint(address) })));
}

/** What clients of the listeners are kept from, as far as that can be said without a connection. */
function accessOf({ access, listeners }: Config, { target, listener }: Asked, direct: boolean): string[] {
  const told = listener === undefined ? listeners : [listeners[listener]];
  const address = literalBytes(target.hostname) === undefined ? undefined : target.hostname;
  const lines = told.map(({ address: at }) => {
    const guard = makeGuard(access, isLoopback(at.hostname));
    const refused = guard?.asked(target) ??
      (direct && address !== undefined ? guard?.reached(target, address) : undefined);
    const clients = `clients of ${formatEndpoint(at)}`;
    if (refused !== undefined) return `${clients} are refused: ${refused}`;
    if (guard === undefined || !direct) return `${clients} may reach it`;
    return address === undefined
      ? `${clients} may reach it, unless it turns out to have an address that they are kept from`
      : `${clients} may reach it`;
  });
  return [...new Set(lines)];
}
