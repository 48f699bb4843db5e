/**
 * One accepted connection, from its first byte to its last log line.
 *
 * @module
 */
import { formatEndpoint } from "./core/address.ts";
import { BufferedConn, type Conn, type Context, type Endpoint, type Outgoing } from "./core/conn.ts";
import type { Dialer } from "./core/dialer.ts";
import { asProxyError, printable, ProxyError } from "./core/errors.ts";
import { deadline } from "./core/handshake.ts";
import { type Join, relay, type RelayLimits } from "./core/relay.ts";
import {
  type Gate,
  type Handler,
  type Matcher,
  type Session,
  sniff,
  type TunnelRequest,
} from "./core/serve.ts";
import type { Fields, Log } from "./log.ts";

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
  readonly target?: Endpoint;
  readonly dialer: Dialer;
  /** The names of the hops, for the log. */
  readonly via: readonly string[];
  readonly maxBytes: number;
  readonly timeouts: RelayLimits & { readonly handshake: number };
}

/** What all sessions of a server share. */
export interface House {
  readonly log: Log;
  readonly join?: Join;
  /** Aborts when the server wants its sessions gone. */
  readonly stopping: AbortSignal;
  /** Takes a place for a tunnel; the function gives it back. @throws ProxyError when there is none */
  admit(client: string): () => void;
  /** The local addresses of the server's own outgoing connections. */
  readonly outgoing: Outgoing & { has(client: Endpoint): boolean };
}

/** Serves one client until its connection has ended; never rejects. */
export async function serveConn(conn: Conn, id: number, service: Service, house: House): Promise<void> {
  await new ClientSession(conn, id, service, house).run();
}

class ClientSession implements Session {
  readonly handshake: Context;
  readonly gate: Gate;
  readonly maxBytes: number;
  readonly #client: string;
  readonly #started = performance.now();
  readonly #handshakeDone: () => void;

  constructor(
    readonly conn: Conn,
    readonly id: number,
    readonly service: Service,
    readonly house: House,
  ) {
    this.gate = service.gate;
    this.maxBytes = service.maxBytes;
    this.#client = conn.remoteAddr === null ? "unknown" : formatEndpoint(conn.remoteAddr);
    const { ctx, done } = deadline({ signal: house.stopping }, service.timeouts.handshake);
    this.handshake = ctx;
    this.#handshakeDone = done;
  }

  async run(): Promise<void> {
    const { candidates, within, target } = this.service;
    try {
      if (target === undefined) await this.#sniff(this.conn, candidates, within);
      else await this.#forward(candidates, target);
    } catch (error) {
      this.#rejected(error);
    } finally {
      this.#handshakeDone();
      this.conn.close();
    }
  }

  async #sniff(conn: Conn, candidates: readonly Candidate[], within: readonly Candidate[]): Promise<void> {
    const buffered = BufferedConn.of(conn);
    const { handler } = await sniff(buffered, candidates, this.handshake);
    try {
      await handler.handle(buffered, this, (inner) => this.#sniff(inner, within, []));
    } catch (error) {
      // What was written in refusal arrives before the end.
      if (!this.handshake.signal.aborted) await linger(buffered);
      throw error;
    } finally {
      buffered.close();
    }
  }

  /** A port forward; with TLS its one candidate terminates it. */
  async #forward([tls]: readonly Candidate[], target: Endpoint): Promise<void> {
    const nothing = new Uint8Array(0);
    const forward = (conn: Conn) =>
      this.tunnel(BufferedConn.of(conn), "tcp", { target, accepted: () => nothing, refused: () => nothing });
    if (tls === undefined) await forward(this.conn);
    else await tls.handler.handle(BufferedConn.of(this.conn), this, forward);
  }

  async tunnel(conn: BufferedConn, protocol: string, request: TunnelRequest): Promise<void> {
    this.#handshakeDone();
    const { user, target } = request;
    const facts = { protocol, user, target: formatEndpoint(target), via: this.service.via };
    let leave = () => {};
    try {
      leave = this.#enter(request);
      const upstream = await this.#dial(target);
      await this.#relay(conn, upstream, request, facts);
    } catch (error) {
      const failure = this.#placed(error);
      this.#failed(facts, failure);
      await answer(conn, request.refused(failure));
    } finally {
      leave();
    }
  }

  #enter({ user }: TunnelRequest): () => void {
    if (this.gate !== null && user === undefined) throw local("denied", "the client has not authenticated");
    this.#refuseLoop();
    return this.house.admit(this.conn.remoteAddr?.hostname ?? "");
  }

  #refuseLoop(): void {
    if (this.conn.remoteAddr !== null && this.house.outgoing.has(this.conn.remoteAddr)) {
      throw local(
        "loop",
        "the connection comes from this program itself: the chain leads back to its own listener",
      );
    }
  }

  async #dial(target: Endpoint): Promise<Conn> {
    const { stopping, outgoing } = this.house;
    const upstream = await this.service.dialer.dial(target, { signal: stopping, outgoing });
    try {
      // Our own connection may have been accepted before its dial returned.
      this.#refuseLoop();
    } catch (error) {
      upstream.abort();
      throw error;
    }
    return upstream;
  }

  async #relay(conn: BufferedConn, upstream: Conn, request: TunnelRequest, facts: Fields): Promise<void> {
    const { house, service } = this;
    const accepted = request.accepted(upstream.localAddr);
    // Should the client be gone, the relay finds out.
    if (accepted.length > 0) await conn.write(accepted).catch(() => {});
    const { bytesUp, bytesDown, failure } = await relay(conn, upstream, service.timeouts, {
      join: house.join,
      signal: house.stopping,
    });
    const counts = { bytesUp, bytesDown };
    // A client that leaves in a hurry is no failure of the tunnel.
    if (failure?.side !== "upstream") {
      const reason = failure === undefined ? undefined : messageOf(failure.error);
      return this.#event("info", "tunnel.closed", { ...facts, ...counts, reason });
    }
    const error = asProxyError(failure.error, { code: "closed", side: "upstream", stage: "relay" });
    this.#failed({ ...facts, ...counts }, this.#placed(error));
  }

  /** What went wrong before there was a tunnel to speak of. */
  #rejected(error: unknown): void {
    const failure = asProxyError(error, { code: "closed", side: "client", stage: "request" }).at(0, "client");
    if (this.house.stopping.aborted) return;
    const silent = failure.code === "closed" && failure.side === "client";
    this.#event(silent ? "debug" : "warn", "tunnel.failed", { error: errorFields(failure) });
  }

  #placed(error: unknown): ProxyError {
    return asProxyError(error, { code: "failed", side: "local", stage: "connect" }).at(0, "direct");
  }

  #failed(facts: Fields, failure: ProxyError): void {
    this.#event("warn", "tunnel.failed", { ...facts, error: errorFields(failure) });
  }

  #event(level: "debug" | "info" | "warn", event: string, fields: Fields): void {
    const durationMs = Math.round(performance.now() - this.#started);
    const { listener } = this.service;
    this.house.log(level, event, { id: this.id, listener, client: this.#client, ...fields, durationMs });
  }
}

function errorFields({ code, hop, label, stage, message }: ProxyError): Fields {
  return { code, hop, label, stage, message };
}

function messageOf(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error));
}

function local(code: "denied" | "loop", message: string): ProxyError {
  return new ProxyError(message, { code, side: "local", stage: "request", hop: 0, label: "hopline" });
}

/** Tells the client; one whose protocol has no words for it is told by a reset. */
async function answer(conn: BufferedConn, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0) return conn.abort();
  try {
    await conn.write(bytes);
  } catch {
    return; // the client has gone; there is nobody to tell
  }
  await linger(conn);
}

const lingerMs = 1000;
const lingerBytes = 256 * 1024;

/**
 * Ends our side and reads the client's away, within bounds: closing a socket that holds unread bytes makes the kernel
 * send a reset, which can overtake the answer.
 */
async function linger(conn: BufferedConn): Promise<void> {
  const timer = setTimeout(() => conn.close(), lingerMs);
  try {
    await conn.closeWrite();
    const sink = new Uint8Array(4096);
    for (let read = 0; read < lingerBytes;) {
      const n = await conn.read(sink);
      if (n === null) break;
      read += n;
    }
  } catch {
    // it is gone
  } finally {
    clearTimeout(timer);
    conn.close();
  }
}
