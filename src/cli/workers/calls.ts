/**
 * What a supervisor and its workers say to each other.
 *
 * @module
 */
import type { Config } from "../../config/schema.ts";
import type { Endpoint } from "../../core/conn.ts";

/** What a worker is told when it starts. */
export interface Orders {
  readonly config: Config;
  /** Its number; no other worker of this service ever has the same. */
  readonly number: number;
  /** How many there are. */
  readonly workers: number;
  readonly splice: boolean;
  /** The limits of which it has no share until it asks. */
  readonly contested: readonly string[];
}

/** Both ends of a connection that a worker has made. */
export interface Ends {
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

/** What a worker does for its supervisor. */
export interface WorkerCalls {
  /** Listens. */
  start(orders: Orders): Promise<void>;
  /** Takes up another configuration. */
  replace(config: Config): Promise<void>;
  /** Stops accepting, lets tunnels finish, and ends. */
  drain(): void;
  /** Gives back what it does not use of a limit; answers what it keeps. */
  recall(key: string): number;
  /** How much of a limit it may use. */
  allow(key: string, share: number): void;
  /** It may use its own share of a limit again. */
  restore(key: string): void;
  /** Worker `from` has made a connection to a listener of this service, or closed one. */
  connected(from: number, ends: Ends): void;
  disconnected(from: number, ends: Ends): void;
  /** Worker `from` is no more. */
  gone(from: number): void;
}

/** What a supervisor does for a worker. */
export interface SupervisorCalls {
  /** Asks for more of a limit; `false` when all of it is in use. More is allowed before the answer comes. */
  more(key: string): Promise<boolean>;
  /** It has made a connection to a listener of this service; the others know when the answer comes. */
  connected(ends: Ends): Promise<void>;
  disconnected(ends: Ends): void;
}
