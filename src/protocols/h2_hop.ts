/**
 * HTTP/2 as a hop: the connections to one proxy, by one way, with one user's credentials, shared by all tunnels that
 * take that way. They live in the closure that `wrap` makes, so that no tunnel can ever take another's way.
 *
 * @module
 */
import { BufferedConn, type Conn, type Context, type Endpoint } from "../core/conn.ts";
import type { Dialer, Hop, Layer } from "../core/dialer.ts";
import { ProxyError } from "../core/errors.ts";
import { background, deadline, drive, type Handshake } from "../core/handshake.ts";
import { told, unlessAborted } from "../core/scope.ts";
import { traced } from "../core/trace.ts";
import { Trail } from "../core/trail.ts";
import { Unprocessed } from "./h2_incoming.ts";
import { type Care, defaultCare, TunnelConnection } from "./h2_tunnels.ts";
import type { Authenticator } from "./http_challenges.ts";

/** What an HTTP/2 hop is made of. */
export interface H2Hop {
  readonly label: string;
  readonly name?: string;
  readonly server: Endpoint;
  /** TLS that offers `h2` by ALPN. */
  readonly layer: Layer;
  readonly authenticator: Authenticator;
  /** HTTP/1.1's way of asking for a tunnel, for a server that does not choose `h2`; without it, that is an error. */
  readonly fallback?: (target: Endpoint) => Handshake<unknown>;
  /** Milliseconds that TLS with the proxy's settings may take, and the answer to CONNECT. */
  readonly timeout: number;
  /** When it aborts, connections are closed as soon as they are idle. */
  readonly retired?: AbortSignal;
  readonly care?: Care;
}

/** The hop that shares connections. */
export function h2Hop(options: H2Hop): Hop {
  return {
    label: options.label,
    name: options.name,
    wrap(next) {
      const pool = new Pool(next, options);
      return { dial: (target, ctx = background) => pool.dial(target, ctx) };
    },
  };
}

/** How often a tunnel is tried anew that a proxy had not begun with. */
const mostAttempts = 4;

/** A connection that is being opened, and who waits for it. */
interface Flight {
  readonly landed: Promise<void>;
  readonly controller: AbortController;
  readonly trail: Trail;
  waiting: number;
  /** Where HTTP/2 was not chosen: a connection for one of those who wait. */
  http1?: Conn;
}

class Pool {
  /** With the ways that lead to them. */
  readonly #connections = new Map<TunnelConnection, Trail>();
  #flight: Flight | undefined;
  /** The server did not choose HTTP/2 the last time. */
  #http1 = false;

  constructor(readonly next: Dialer, readonly options: H2Hop) {}

  async dial(target: Endpoint, ctx: Context): Promise<Conn> {
    for (let attempt = 1;;) {
      ctx.signal.throwIfAborted();
      const connection = this.#free();
      if (connection === undefined) {
        const conn = this.#http1 ? await this.#openAlone(ctx) : await this.#share(ctx);
        if (conn !== null) return await this.#overHttp1(conn, target, ctx);
        continue;
      }
      const trail = this.#connections.get(connection)!;
      const { ctx: inner, done } = deadline(ctx, this.options.timeout);
      try {
        const ask = () => connection.tunnel(target, inner);
        const tunnel = await traced(inner, "request", "the answer to CONNECT", ask);
        ctx.trail?.follow(trail);
        return tunnel;
      } catch (error) {
        if (error instanceof Unprocessed && attempt++ < mostAttempts) continue;
        ctx.trail?.follow(trail);
        if (!(error instanceof Unprocessed)) throw error;
        throw new ProxyError(error.message, { code: "limit", side: "upstream", stage: "request" });
      } finally {
        done();
      }
    }
  }

  #free(): TunnelConnection | undefined {
    for (const connection of this.#connections.keys()) {
      if (connection.over) this.#connections.delete(connection);
      else if (connection.free) return connection;
    }
  }

  /** Waits for one new connection together with everybody else; only when nobody waits any more is it given up. */
  async #share(ctx: Context): Promise<Conn | null> {
    const flight = this.#flight ??= this.#start(ctx);
    flight.waiting++;
    try {
      await unlessAborted(flight.landed, ctx);
      const { http1 } = flight;
      flight.http1 = undefined;
      if (http1 !== undefined) flight.trail.handTo(ctx.trail);
      return http1 ?? null;
    } catch (error) {
      ctx.trail?.follow(flight.trail);
      throw error;
    } finally {
      if (--flight.waiting === 0) {
        flight.controller.abort(ctx.signal.reason);
        if (flight.http1 !== undefined) this.#drop(flight.http1, flight.trail);
        if (this.#flight === flight) this.#flight = undefined;
      }
    }
  }

  #start({ outgoing, trace }: Context): Flight {
    const controller = new AbortController();
    const trail = new Trail();
    const landed = this.#open({ signal: controller.signal, outgoing, trace, trail }, trail).then((conn) => {
      if (conn !== null && flight.waiting === 0) this.#drop(conn, trail);
      else if (conn !== null) flight.http1 = conn;
    }).finally(() => {
      if (this.#flight === flight) this.#flight = undefined;
    });
    landed.catch(() => trail.leave());
    const flight: Flight = { landed, controller, trail, waiting: 0 };
    return flight;
  }

  /** Opens a connection for one dial alone, unless it turns out to speak HTTP/2. */
  async #openAlone(ctx: Context): Promise<Conn | null> {
    const trail = new Trail();
    try {
      const conn = await this.#open(told(ctx, { trail }), trail);
      if (conn !== null) trail.handTo(ctx.trail);
      return conn;
    } catch (error) {
      ctx.trail?.follow(trail);
      trail.leave();
      throw error;
    }
  }

  #drop(conn: Conn, trail: Trail): void {
    conn.close();
    trail.leave();
  }

  /** Opens a connection. One that speaks HTTP/2 goes to the others, `null` is returned then. */
  async #open(ctx: Context, trail: Trail): Promise<Conn | null> {
    const { server, layer, timeout, fallback, authenticator, care = defaultCare, retired } = this.options;
    const below = await this.next.dial(server, ctx);
    const { ctx: inner, done } = deadline(ctx, timeout);
    try {
      const conn = await layer(below, server, inner);
      const chosen = conn.protocol || "nothing";
      this.#http1 = chosen !== "h2";
      if (chosen === "h2") {
        const connection = new TunnelConnection(conn, authenticator, care, retired);
        await connection.ready(inner);
        this.#connections.set(connection, trail);
        connection.ended.finally(() => trail.leave());
        return null;
      }
      if (fallback !== undefined && (chosen === "http/1.1" || chosen === "nothing")) return conn;
      conn.abort();
      throw new ProxyError(
        `the proxy does not speak HTTP/2: of the protocols offered (ALPN) it chose ${chosen}`,
        {
          code: "tls",
          side: "upstream",
          stage: "tls",
        },
      );
    } finally {
      done();
    }
  }

  async #overHttp1(conn: Conn, target: Endpoint, ctx: Context): Promise<Conn> {
    const { ctx: inner, done } = deadline(ctx, this.options.timeout);
    const buffered = BufferedConn.of(conn);
    try {
      await drive(buffered, this.options.fallback!(target), inner, { peer: "upstream" });
      return buffered.unwrap();
    } catch (error) {
      buffered.abort();
      throw error;
    } finally {
      done();
    }
  }
}
