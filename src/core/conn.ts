/**
 * A connection as the core sees it: bytes both ways, each direction ending by itself.
 *
 * @module
 */

/** A host (name, IPv4 or IPv6 address without brackets) and a TCP port. */
export interface Endpoint {
  readonly hostname: string;
  readonly port: number;
}

/** What travels along with a dial: when `signal` aborts, the dial rejects with the signal's reason. */
export interface Context {
  readonly signal: AbortSignal;
}

/** A byte stream between two ends. One reader and one writer at a time. */
export interface Conn {
  readonly localAddr: Endpoint | null;
  readonly remoteAddr: Endpoint | null;
  /** Reads at least one byte into `p`; resolves to how many, or to `null` at the end, never to 0. */
  read(p: Uint8Array): Promise<number | null>;
  /** Writes all of `p`, or rejects. `p` may be reused once the promise has settled. */
  write(p: Uint8Array): Promise<void>;
  /** Ends our direction (FIN); reading goes on. */
  closeWrite(): Promise<void>;
  /** Ends both directions in good order. Idempotent, never throws. */
  close(): void;
  /** Ends both directions at once, with a reset where the transport has one. Idempotent, never throws. */
  abort(): void;
}

/** Accepts connections until it is closed. */
export interface Listener extends AsyncIterable<Conn> {
  readonly addr: Endpoint;
  close(): void;
}

/** The ways that two ends of a relay can be joined faster than by copying; see `Runtime.relay`. */
export interface RelayResult {
  /** Bytes from the client to the target. */
  readonly bytesUp: number;
  /** Bytes from the target to the client. */
  readonly bytesDown: number;
  /** Why it ended other than by an EOF each way, and whose side did it. */
  readonly failure?: { readonly side: "client" | "upstream" | "local"; readonly error: Error };
}
