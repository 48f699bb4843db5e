/**
 * One accepted connection, from its first byte to its last log line.
 *
 * @module
 */
import {
  BufferedConn,
  type Client,
  type Conn,
  type Context,
  type Endpoint,
  type Guard,
  type Outgoing,
} from "./core/conn.ts";
import { asProxyError, ProxyError } from "./core/errors.ts";
import { drive } from "./core/handshake.ts";
import { linger } from "./core/linger.ts";
import type { Join } from "./core/relay.ts";
import { Scope } from "./core/scope.ts";
import type { Bandwidth } from "./core/throttle.ts";
import {
  type Destination,
  forwardRequest,
  type Gate,
  type Handler,
  type Matcher,
  type Next,
  type Session,
  sniff,
  type Target,
  type Timeouts,
  type TunnelRequest,
  type Way,
} from "./core/serve.ts";
import type { Level, Log } from "./log.ts";
import type { Router } from "./routing/router.ts";
import { accept as acceptProxyProtocol } from "./protocols/proxy_protocol.ts";
import { clientName, errorFields, Tunnel } from "./tunnel.ts";

/** A protocol, as one listener serves it. */
export interface Candidate {
  readonly matcher: Matcher;
  readonly handler: Handler;
}

/** A listener's way of serving its clients. */
export interface Service {
  /** The listener, as the log names it. */
  readonly listener: string;
  readonly gate: Gate;
  readonly candidates: readonly Candidate[];
  /** What may be spoken inside the TLS that this listener terminates. */
  readonly within: readonly Candidate[];
  /** For a port forward: every connection goes there, and nothing is sniffed. */
  readonly target?: Target;
  /** Whether a peer is trusted with the PROXY protocol; then every connection has to begin with it. */
  readonly trusts?: (peer: Endpoint) => boolean;
  /** What its clients are kept from. */
  readonly guard?: Guard;
  /** The bandwidths that a user's tunnels are within; absent where nothing is limited. */
  readonly bandwidths?: (user?: string) => readonly Bandwidth[];
  /** Finds the way of a request. */
  readonly route: Router;
  /** Aborts when the server stops, or takes up another configuration: what comes then is for a new connection. */
  readonly retired: AbortSignal;
  readonly maxBytes: number;
  readonly timeouts: Timeouts;
  /** Forwarded requests say whom they are for. */
  readonly forwarded: boolean;
  /** Requests are for sites that routes name, and for nothing else. */
  readonly reverse: boolean;
}

/** What all sessions of a server share. */
export interface House {
  readonly log: Log;
  /** Whether events of a level go anywhere; the others need not be made. */
  logs(level: Level): boolean;
  /** Tells this server from every other in the unique ids of its connections. */
  readonly instance: string;
  /** The next number for a line of the log. */
  nextId(): number;
  readonly join?: Join;
  /** Aborts when the server wants its sessions gone. */
  readonly stopping: Scope;
  /** A client has come, and has no tunnel yet. @throws ProxyError when too many of its connections have none */
  arrive(client: string): void;
  /** Its connection has become a tunnel, or is over. */
  depart(client: string): void;
  /** Takes a place for a tunnel. @throws ProxyError when there is none, or rejects */
  admit(client: string, user?: string): void | Promise<void>;
  /** Gives it back. */
  leave(client: string, user?: string): void;
  /** A session is over. */
  left(): void;
  /** The server's own outgoing connections. */
  readonly outgoing: Outgoing & { has(client: Endpoint, here: Endpoint): boolean };
}

/** Serves one client until its connection has ended, or has become a tunnel; never rejects. */
export async function serveConn(conn: Conn, service: Service, house: House): Promise<void> {
  const session = new ClientSession(conn, service, house);
  await session.run();
  if (session.tunnelled) return;
  conn.close();
  house.left();
}

class ClientSession implements Session {
  readonly handshake: Scope;
  readonly gate: Gate;
  client: Client;
  readonly maxBytes: number;
  readonly timeouts: Timeouts;
  readonly retired: AbortSignal;
  readonly forwarded: boolean;
  readonly reverse: boolean;
  /** The connection has become a tunnel; nothing of the session is kept while it lasts. */
  tunnelled = false;
  readonly #started = performance.now();
  /** What the session has failed with, once it is in the log. */
  #failure: unknown;

  constructor(
    readonly conn: Conn,
    readonly service: Service,
    readonly house: House,
  ) {
    this.gate = service.gate;
    this.client = { source: conn.remoteAddr ?? undefined, destination: conn.localAddr ?? undefined };
    this.maxBytes = service.maxBytes;
    this.timeouts = service.timeouts;
    this.forwarded = service.forwarded;
    this.reverse = service.reverse;
    this.retired = service.retired;
    this.handshake = new Scope(house.stopping).limit(service.timeouts.handshake);
  }

  get stopping(): AbortSignal {
    return this.house.stopping.signal;
  }

  async run(): Promise<void> {
    const { candidates, within, target, trusts } = this.service;
    let arrived: string | undefined;
    try {
      const conn = trusts === undefined ? this.conn : await this.#introduced(trusts);
      const client = this.client.source?.hostname ?? "";
      this.house.arrive(client);
      arrived = client;
      if (target === undefined) await this.#sniff(conn, candidates, within);
      else await this.#forward(conn, candidates, target);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.handshake.leave();
      if (arrived !== undefined) this.house.depart(arrived);
    }
  }

  /** The connection once it is known whose it is: where proxies in front speak for clients, they say so first. */
  async #introduced(trusts: (peer: Endpoint) => boolean): Promise<Conn> {
    const { conn } = this;
    if (conn.remoteAddr === null || !trusts(conn.remoteAddr)) {
      throw new ProxyError("the PROXY protocol is not trusted from this address", {
        code: "denied",
        side: "client",
        stage: "request",
      });
    }
    const buffered = BufferedConn.of(conn);
    this.client = {
      ...this.client,
      ...await drive(buffered, acceptProxyProtocol(), this.handshake, { peer: "client" }),
    };
    return buffered;
  }

  async #sniff(conn: Conn, candidates: readonly Candidate[], within: readonly Candidate[]): Promise<void> {
    const buffered = BufferedConn.of(conn);
    const { handler } = await sniff(buffered, candidates, this.handshake);
    await this.#handle(handler, buffered, (inner) => this.#sniff(inner, within, []));
  }

  async #handle(handler: Handler, buffered: BufferedConn, next: Next): Promise<void> {
    try {
      await handler.handle(buffered, this, next);
    } catch (error) {
      this.#failed(error);
      // What was written in refusal arrives before the end.
      if (!this.handshake.aborted) await linger(buffered, this.house.stopping);
      throw error;
    } finally {
      if (!this.tunnelled) buffered.close();
    }
  }

  /** A port forward; with TLS its one candidate terminates it. */
  async #forward(client: Conn, [tls]: readonly Candidate[], target: Target): Promise<void> {
    // A dial of our own that led here has its turn first: then its address is known, and the loop is found.
    await new Promise((resolve) => setTimeout(resolve));
    const forward = (conn: Conn) => this.tunnel(BufferedConn.of(conn), "tcp", forwardRequest(target));
    if (tls === undefined) await forward(client);
    else await this.#handle(tls.handler, BufferedConn.of(client), forward);
  }

  open(protocol: string, destination: Destination, wanted?: Scope): Promise<Way> {
    this.handshake.leave();
    const { conn, client, service, house } = this;
    return new Tunnel(conn, client, service, house, protocol, destination, wanted).open();
  }

  async tunnel(conn: BufferedConn, protocol: string, request: TunnelRequest): Promise<void> {
    // Without the answers, which the tunnel would keep.
    const { target, user, configured, layer, among } = request;
    let way: Way;
    try {
      way = await this.open(protocol, { target, user, configured, layer, among });
    } catch (failure) {
      return await answer(conn, request.refused(failure as ProxyError), this.house.stopping);
    }
    const accepted = request.accepted(way.conn.localAddr);
    // Should the client be gone, the relay finds out.
    if (accepted.length > 0) await conn.write(accepted).catch(() => {});
    this.tunnelled = true;
    way.become(conn);
  }

  /** Tells of a failure as it comes, not once the client has left, and once for all layers that it goes through. */
  #failed(error: unknown): void {
    if (error === this.#failure) return;
    this.#failure = error;
    this.refused(asProxyError(error, { code: "closed", side: "client", stage: "request" }));
  }

  /** What went wrong before there was a tunnel to speak of. */
  refused(error: ProxyError): void {
    const { house, service } = this;
    if (house.stopping.aborted) return;
    const failure = error.at(0, "client");
    const silent = failure.code === "closed" && failure.side === "client";
    house.log(silent ? "debug" : "warn", "tunnel.failed", {
      id: house.nextId(),
      listener: service.listener,
      client: clientName(this.client.source),
      error: errorFields(failure),
      durationMs: Math.round(performance.now() - this.#started),
    });
  }
}

/** Tells the client; one whose protocol has no words for it is told by a reset. */
async function answer(conn: BufferedConn, bytes: Uint8Array, house: Context): Promise<void> {
  if (bytes.length === 0) return conn.abort();
  try {
    await conn.write(bytes);
  } catch {
    return; // the client has gone; there is nobody to tell
  }
  await linger(conn, house);
}
