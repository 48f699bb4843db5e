/**
 * One error for everything that can go wrong with a tunnel.
 *
 * Every protocol owns a table from {@linkcode ErrorCode} to its own replies (`satisfies Record<ErrorCode, …>`),
 * so a new code does not compile until each protocol says what its clients see.
 *
 * @module
 */
import { formatEndpoint } from "./address.ts";
import type { Endpoint } from "./conn.ts";

/** What kind of failure it was. */
export type ErrorCode =
  | "refused" // the target's port is closed
  | "unreachable" // no way to the host
  | "netUnreachable" // no way to its network
  | "resolve" // the name was not found
  | "timeout"
  | "denied" // by a rule, here or at a hop
  | "limit" // too many tunnels
  | "loop" // the connection came from ourselves
  | "auth" // credentials missing or wrong
  | "protocol" // somebody broke the rules of the protocol
  | "tls"
  | "unsupported" // the command or method
  | "address" // the address or its type
  | "closed" // ended early
  | "failed"; // a hop said no more than that

/** Who caused it: the client that asked, the way to the target, the target as a hop tells of it, or Hopline itself. */
export type Side = "client" | "upstream" | "target" | "local";

/** How far the attempt had come. */
export type Stage = "resolve" | "connect" | "tls" | "auth" | "request" | "relay";

/** The facts of a {@linkcode ProxyError}. */
export interface Failure {
  /** What kind of failure it was. */
  readonly code: ErrorCode;
  /** Who caused it. */
  readonly side: Side;
  /** How far the attempt had come. */
  readonly stage: Stage;
  /** Position in the chain, from 1; 0 is Hopline itself. Absent until the chain fills it in. */
  readonly hop?: number;
  /** The hop's name and redacted URL. */
  readonly label?: string;
  /** The error behind it. */
  readonly cause?: unknown;
}

/**
 * A tunnel failed; the fields say at which hop, at what stage and why.
 *
 * @example
 * ```ts
 * import { ProxyError } from "@hopline/hopline";
 *
 * const error = new ProxyError("connection refused", { code: "refused", side: "upstream", stage: "connect" });
 * console.log(error.code, error.stage); // refused connect
 * ```
 */
export class ProxyError extends Error {
  /** The class, for those who print it. */
  override readonly name = "ProxyError";
  /** What kind of failure it was. */
  readonly code: ErrorCode;
  /** Who caused it. */
  readonly side: Side;
  /** How far the attempt had come. */
  readonly stage: Stage;
  /** Position in the chain, from 1; 0 is Hopline itself. */
  readonly hop?: number;
  /** The hop's name and redacted URL. */
  readonly label?: string;

  /**
   * Makes an error.
   *
   * @param message what was expected and what came, without any secret
   */
  constructor(message: string, failure: Failure) {
    super(printable(message), failure.cause === undefined ? undefined : { cause: failure.cause });
    this.code = failure.code;
    this.side = failure.side;
    this.stage = failure.stage;
    this.hop = failure.hop;
    this.label = failure.label;
  }

  /** The same error, saying what the hop was asked for. */
  asked(target: Endpoint): ProxyError {
    return new ProxyError(`asked for ${formatEndpoint(target)}: ${this.message}`, this);
  }

  /** The same error, with another to blame for it. */
  blame(side: Side): ProxyError {
    const { code, stage, cause, hop, label } = this;
    return new ProxyError(this.message, { code, side, stage, cause, hop, label });
  }

  /** The same error, placed at a hop; an error that already has a place keeps it. */
  at(hop: number, label: string): ProxyError {
    if (this.hop !== undefined) return this;
    const { code, side, stage, cause } = this;
    return new ProxyError(this.message, { code, side, stage, cause, hop, label });
  }
}

/** Any thrown value as a {@linkcode ProxyError}, so that only one class of error leaves the core. */
export function asProxyError(error: unknown, otherwise: Failure): ProxyError {
  if (error instanceof ProxyError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ProxyError(message, { ...otherwise, cause: error });
}

/** Text that is safe in a log, a header or a terminal: C0, C1, line separators and bidi marks are escaped. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

// deno-lint-ignore no-control-regex
const unprintable = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
