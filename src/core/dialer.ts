/**
 * The one idea: reaching a target is a {@linkcode Dialer}, a {@linkcode Hop} turns a dialer into one that
 * goes a hop further, and a chain is a fold over hops.
 *
 * @module
 */
import { ipVersion } from "./address.ts";
import { BufferedConn, type Conn, type Context, type Endpoint } from "./conn.ts";
import { type Network, unknownName } from "./direct.ts";
import { asProxyError, ProxyError } from "./errors.ts";
import { background, drive, type Handshake } from "./handshake.ts";
import { Scope } from "./scope.ts";
import { traced, tracedAt } from "./trace.ts";

/** Opens a connection to a target, however far away. */
export interface Dialer {
  /**
   * Opens a connection to `target`.
   *
   * @throws ProxyError naming the hop, the stage and the cause; or `ctx.signal.reason` once that aborts
   */
  dial(target: Endpoint, ctx?: Context): Promise<Conn>;
  /** Present when the last hop takes requests of HTTP: reaches that hop, to be asked for `target` in absolute form. */
  forward?(target: Endpoint, ctx?: Context): Promise<Forwarding>;
}

/** A connection to an HTTP proxy that is to be asked in absolute form. */
export interface Forwarding {
  readonly conn: Conn;
  /** The value of Proxy-Authorization, if the proxy wants one. */
  readonly authorization?: string;
  /** Places an error of that proxy at its hop. */
  readonly at?: (error: ProxyError) => ProxyError;
  /** It leads to the target itself: a group chose a member whose last hop is asked for nothing but tunnels. */
  readonly tunnel?: boolean;
}

/** One step of a chain. */
export interface Hop {
  /** Its name and redacted URL, as error messages and log lines show it. */
  readonly label: string;
  /** What the log calls it among the hops that were taken, instead of its label. */
  readonly name?: string;
  /** The dialer that goes through this hop, and reaches its server by `next`. */
  wrap(next: Dialer): Dialer;
}

/** A connection inside a layer. */
export interface LayeredConn extends Conn {
  /** What both sides agreed to speak inside (ALPN); nothing when they did not talk about it. */
  readonly protocol?: string | null;
}

/** Puts a layer, such as TLS, around a connection to `server`. The connection is its own from then on. */
export type Layer = (conn: Conn, server: Endpoint, ctx: Context) => Promise<LayeredConn>;

/** Folds hops over a dialer; errors that pass are placed at the hop that met them, counted from 1. */
export function fold(first: Dialer, hops: readonly Hop[]): Dialer {
  return hops.reduce((dialer, hop, index) => place(hop.wrap(dialer), index + 1, hop.label, hop.name), first);
}

/**
 * A dialer whose errors say at which hop they arose, unless an earlier hop has said so. Behind a group the position
 * depends on the way that was taken, so the trail tells it, where there is one.
 */
export function place(dialer: Dialer, hop: number, label: string, name = label): Dialer {
  const fixed = { position: () => hop };
  const pass = (ctx?: Context) => ctx?.trail?.pass(name) ?? fixed;
  const placed = async <T>({ position }: typeof fixed, attempt: Promise<T>): Promise<T> => {
    try {
      return await attempt;
    } catch (error) {
      const failure = asProxyError(error, { code: "failed", side: "upstream", stage: "connect" });
      throw failure.at(position(), label);
    }
  };
  const { forward } = dialer;
  return {
    dial: (target, ctx) => {
      const passed = pass(ctx);
      return placed(passed, dialer.dial(target, tracedAt(ctx, passed.position, label)));
    },
    ...(forward && {
      forward: async (target, ctx) => {
        const passed = pass(ctx);
        const forwarding = await placed(passed, forward(target, tracedAt(ctx, passed.position, label)));
        return { ...forwarding, at: (error) => error.at(passed.position(), label) };
      },
    }),
  };
}

/** A dialer that gives up after `ms`. */
export function limited(dialer: Dialer, ms: number): Dialer {
  return {
    async dial(target, parent) {
      const scope = new Scope(parent).limit(ms);
      try {
        return await dialer.dial(target, scope);
      } finally {
        scope.leave();
      }
    },
  };
}

/** What a hop does once its server is reached. */
export interface TunnelHop extends Pick<Hop, "label" | "name"> {
  readonly server: Endpoint;
  /** What goes around the connection to the server first. */
  readonly layer?: Layer;
  /** How the server is asked for a tunnel to the target. */
  readonly handshake: (target: Endpoint) => Handshake<unknown>;
  /** Milliseconds that layer and handshake may take together. */
  readonly timeout: number;
  /** Present when requests of HTTP go to the server in absolute form, without a tunnel. */
  readonly absolute?: Pick<Forwarding, "authorization">;
}

/** The hop that reaches `server` and asks it for a tunnel. */
export function tunnelHop({ label, name, server, layer, handshake, timeout, absolute }: TunnelHop): Hop {
  const enter = (conn: Conn, ctx: Context) => layer?.(conn, server, ctx) ?? Promise.resolve(conn);

  async function tunnel(conn: Conn, target: Endpoint, ctx: Context): Promise<Conn> {
    const buffered = BufferedConn.of(await enter(conn, ctx));
    try {
      await drive(buffered, handshake(target), ctx, { peer: "upstream" });
      return buffered.unwrap();
    } catch (error) {
      buffered.abort();
      throw error instanceof ProxyError && error.stage === "request" ? error.asked(target) : error;
    }
  }
  return {
    label,
    name,
    wrap: (next) => ({
      dial: async (target, ctx = background) =>
        await within(
          ctx,
          timeout,
          await next.dial(server, ctx),
          (conn, inner) => tunnel(conn, target, inner),
        ),
      ...(absolute && {
        forward: async (_target, ctx = background) => ({
          conn: await within(ctx, timeout, await next.dial(server, ctx), enter),
          ...absolute,
        }),
      }),
    }),
  };
}

/** The hop that puts a layer around the connection to whatever is dialled through it. */
export function layerHop(label: string, layer: Layer, timeout: number): Hop {
  const timed = limitedLayer(layer, timeout);
  return {
    label,
    wrap: (next) => ({
      dial: async (target, ctx = background) => await timed(await next.dial(target, ctx), target, ctx),
    }),
  };
}

/** A layer that gives up after `ms`. */
export function limitedLayer(layer: Layer, ms: number): Layer {
  return (conn, server, parent) => within(parent, ms, conn, (conn, ctx) => layer(conn, server, ctx));
}

/** Several layers as one, the outermost first; none for none. */
export function layered(...layers: readonly (Layer | undefined)[]): Layer | undefined {
  const present = layers.filter((layer) => layer !== undefined);
  if (present.length < 2) return present[0];
  return async (conn, server, ctx) => {
    for (const layer of present) conn = await layer(conn, server, ctx);
    return conn;
  };
}

/** Works on a connection that stands, for `ms` at most: the time that reaching it took is not its own. */
async function within(
  parent: Context,
  ms: number,
  conn: Conn,
  work: (conn: Conn, ctx: Context) => Promise<Conn>,
): Promise<Conn> {
  const scope = new Scope(parent).limit(ms);
  try {
    return await work(conn, scope);
  } finally {
    scope.leave();
  }
}

/** The same hop for one that must be given addresses: names are resolved here, before it is asked. */
export function resolvingHop(hop: Hop, resolve: Network["resolve"], families: readonly (4 | 6)[]): Hop {
  return {
    label: hop.label,
    name: hop.name,
    wrap(next) {
      const dialer = hop.wrap(next);
      return {
        async dial(target, ctx = background) {
          return await dialer.dial({ ...target, hostname: await toAddress(target.hostname, ctx) }, ctx);
        },
      };
    },
  };

  async function toAddress(hostname: string, ctx: Context): Promise<string> {
    if (ipVersion(hostname) !== 0) return hostname;
    let missing: unknown;
    for (const family of families) {
      try {
        const [address] = await traced(
          ctx,
          "resolve",
          hostname,
          () => resolve(hostname, family, ctx),
          (addresses) => ({ addresses }),
        );
        if (address !== undefined) return address;
      } catch (error) {
        missing ??= error instanceof ProxyError && error.code === "resolve" ? error.blame("target") : error;
      }
    }
    throw missing ?? unknownName(hostname).blame("target");
  }
}
