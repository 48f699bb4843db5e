/**
 * The serving side: a {@linkcode Matcher} recognises a protocol by its first bytes, a {@linkcode Handler} speaks it.
 *
 * @module
 */
import type { BufferedConn, Client, Conn, Context, Endpoint } from "./conn.ts";
import type { Dialer, Forwarding, Layer } from "./dialer.ts";
import { ProxyError, type Stage } from "./errors.ts";
import { drive, type Handshake, interrupted } from "./handshake.ts";
import type { Meter, RelayLimits, RelayResult } from "./relay.ts";
import { Scope } from "./scope.ts";
import type { Trail } from "./trail.ts";

/** What a matcher says to the bytes so far. A verdict never contradicts the verdict on a longer input. */
export type Verdict = "yes" | "no" | "more";

/** Recognises a protocol; pure, and decided by the shortest valid greeting. */
export interface Matcher {
  readonly name: string;
  match(head: Uint8Array): Verdict;
}

/** Speaks a protocol to a client, or peels one layer and hands the rest to `next`, which sniffs again. */
export interface Handler {
  handle(conn: BufferedConn, session: Session, next: Next): Promise<void>;
}

/** Sniffs the protocol within a layer that was peeled. */
export type Next = (conn: Conn) => Promise<void>;

/** Whether these credentials are a user's, which may take a while to find out; `null` where a listener asks for none. */
export type Gate = ((username: string, password: string) => boolean | Promise<boolean>) | null;

/** One accepted connection, as handlers see it. */
export interface Session {
  /** Aborts when the client's handshake has taken too long, or the server stops. */
  readonly handshake: Context;
  readonly gate: Gate;
  /** What is known of the client; a handler that learns more puts it there. */
  client: Client;
  /** The most bytes that a handshake may take. */
  readonly maxBytes: number;
  readonly timeouts: Timeouts;
  /** Aborts when the server stops or takes up another configuration: what is under way goes on, nothing more begins. */
  readonly retired: AbortSignal;
  /** Aborts when the server ends what is under way. */
  readonly stopping: AbortSignal;
  /** Tell servers whom a request is forwarded for (RFC 7239). */
  readonly forwarded: boolean;
  /** The listener is a web server to its clients, and serves the sites that routes name. */
  readonly reverse: boolean;
  /**
   * Dials a target for the client, unless `wanted` aborts meanwhile.
   *
   * @throws ProxyError, which has been logged
   */
  open(protocol: string, destination: Destination, wanted?: Scope): Promise<Way>;
  /** Logs a request that was refused before anything was opened for it. */
  refused(error: ProxyError): void;
  /** Opens a way and answers in the client's protocol. From then on the connection belongs to the relay. */
  tunnel(conn: BufferedConn, protocol: string, request: TunnelRequest): Promise<void>;
}

/** How long a client is waited for, in milliseconds. */
export interface Timeouts extends RelayLimits {
  readonly handshake: number;
}

/** Where a client wants to go. */
export interface Destination {
  readonly target: Endpoint;
  /** The user that passed the gate. */
  readonly user?: string;
  /** The configuration names it, not the client: nobody is kept from it. */
  readonly configured?: boolean;
  /** What goes around the connection to the target before it is the client's. */
  readonly layer?: Layer;
  /** Present when the target is chosen among several, each with its own layer: what dials them by a way. */
  readonly among?: (way: Dialer) => Dialer;
  /** For one request of HTTP instead of a tunnel. */
  readonly request?: {
    readonly method: string;
    /** The last hop may be asked for it in absolute form, in the place of a tunnel. */
    readonly absolute: boolean;
    /** An open line that an earlier request to the same target, by the same way, has left. */
    readonly reuse?: (way: object) => Line | undefined;
  };
}

/** What leads to a target. */
export interface Line {
  readonly conn: BufferedConn;
  /** What leads there: routes may tell a later request to go by another. */
  readonly way: object;
  /** Present when it leads to a proxy that takes requests in absolute form. */
  readonly proxy?: Forwarding;
  /** Where groups chose the way: which hops it takes. */
  readonly trail?: Trail;
  /** Present when a limit may hold it up: tells a flow that it is not idle then. */
  readonly meter?: Meter;
}

/** An open way to a target; it is counted, and logged when it is closed. */
export interface Way {
  readonly line: Line;
  readonly conn: BufferedConn;
  /** The status that a request was answered with, for the log. */
  status?: number;
  /** Dials again, where a line that was reused turned out to be dead. @throws ProxyError, which has been logged */
  renew(): Promise<void>;
  /** Relays until both directions have ended, and closes. */
  relay(client: Conn): Promise<void>;
  /** The same where the client's whole connection becomes the tunnel, and its session ends with it. */
  become(client: Conn): void;
  /** Closes, for a handler that moved the bytes itself. */
  close(result: RelayResult): void;
}

/** What a client asked for, and how to answer it. */
export interface TunnelRequest extends Destination {
  /** The answer once the tunnel stands; `bound` is our own address towards the target, where known. */
  accepted(bound: Endpoint | null): Uint8Array;
  /** The answer when it could not be made. */
  refused(error: ProxyError): Uint8Array;
}

/** Where a port forward leads. */
export interface Target {
  readonly address: Endpoint;
  /** What goes around the connection to it. */
  readonly layer?: Layer;
  /** Present when there are several, of which `address` is the first. */
  readonly among?: (way: Dialer) => Dialer;
}

/** The request of a client that was not asked where to, and has no protocol to be answered in. */
export function forwardRequest({ address, layer, among }: Target): TunnelRequest {
  const nothing = new Uint8Array(0);
  return { target: address, configured: true, layer, among, accepted: () => nothing, refused: () => nothing };
}

/** A protocol that clients may speak on a listener. */
export interface Inbound {
  readonly matcher: Matcher;
  readonly handler: Handler;
  /** What to answer a client whose protocol this listener does not allow. */
  unwelcome(why: string): Uint8Array;
}

/** A handler for a protocol whose handshake ends in a tunnel. */
export function tunnelHandler(protocol: string, accept: (gate: Gate) => Handshake<TunnelRequest>): Handler {
  return {
    async handle(conn, session) {
      const request = await drive(conn, accept(session.gate), session.handshake, {
        peer: "client",
        maxBytes: session.maxBytes,
      });
      await session.tunnel(conn, protocol, request);
    },
  };
}

/**
 * Finds the one matcher that says yes; an earlier matcher that needs more bytes is waited for.
 *
 * @throws ProxyError when none can match any more, or the client ends first
 */
export function sniff<T extends { readonly matcher: Matcher }>(
  conn: BufferedConn,
  candidates: readonly T[],
  ctx: Context,
): Promise<T> {
  return peek(conn, ctx, { what: "the client's first bytes", stage: "request" }, (head) => {
    const found = head.length === 0 ? "more" : decide(head, candidates);
    if (found === "none") throw unknownProtocol(head);
    return found === "more" ? undefined : found;
  });
}

/**
 * Waits until `look` finds what it wants in a client's first bytes, which stay unread; what it throws ends the wait.
 *
 * @throws ProxyError too when the client ends first, or takes too long
 */
export async function peek<T>(
  conn: BufferedConn,
  ctx: Context,
  { what, stage }: { readonly what: string; readonly stage: Stage },
  look: (head: Uint8Array) => T | undefined,
): Promise<T> {
  const scope = new Scope(ctx, conn);
  try {
    for (;;) {
      scope.throwIfAborted();
      const found = look(conn.buffered);
      if (found !== undefined) return found;
      if (!(await conn.fill())) throw ended(conn.available, stage);
    }
  } catch (error) {
    if (!scope.aborted) throw error;
    throw interrupted(scope.reason, what, "client", stage);
  } finally {
    scope.leave();
  }
}

/** The verdict of several matchers on the same bytes. */
export function decide<T extends { readonly matcher: Matcher }>(
  head: Uint8Array,
  candidates: readonly T[],
): T | "more" | "none" {
  for (const candidate of candidates) {
    const verdict = candidate.matcher.match(head);
    if (verdict === "yes") return candidate;
    if (verdict === "more") return "more";
  }
  return "none";
}

function unknownProtocol(head: Uint8Array): ProxyError {
  const bytes = [...head.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return new ProxyError(`the first bytes are of no protocol spoken here: ${bytes}`, {
    code: "protocol",
    side: "client",
    stage: "request",
  });
}

function ended(received: number, stage: Stage): ProxyError {
  return new ProxyError(
    received === 0
      ? "the client closed without a word"
      : `the client closed within its first ${received} bytes`,
    {
      code: "closed",
      side: "client",
      stage,
    },
  );
}
