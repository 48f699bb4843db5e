/**
 * What Hopline needs of a runtime, and which one this is. Only the files in this folder touch a socket.
 *
 * @module
 */
import type { Endpoint, Listener } from "../core/conn.ts";
import type { Network } from "../core/direct.ts";
import type { Join } from "../core/relay.ts";
import type { exchange } from "./datagram.ts";
import type { FetchProxy, ProxiedFetch } from "./proxied_fetch.ts";
import type { KernelRelay } from "./splice/relay.ts";

/** How to listen. */
export interface ListenOptions {
  /** Whether other processes that want the same may listen there as well; the system spreads connections over them. */
  readonly reusePort?: boolean;
  /** Whether the program may end while it listens, and while clients are connected. */
  readonly background?: boolean;
}

/** One runtime's sockets. */
export interface Runtime extends Network {
  /** Binds and listens; port 0 asks for any free one. */
  listen(at: Endpoint, options?: ListenOptions): Promise<Listener>;
  /** Sends a datagram, and waits for the answer to it. */
  readonly exchange: typeof exchange;
  /** The platform's `fetch`, by way of a proxy. */
  proxiedFetch(proxy: FetchProxy): ProxiedFetch;
  /** A faster relay for a pair of this runtime's own sockets. */
  readonly join?: Join;
  /** The same, where bulk flows are left to the kernel. */
  spliced(kernel: KernelRelay): Join;
}

let found: Promise<Runtime> | undefined;

/** The runtime that this program runs on. */
export function currentRuntime(): Promise<Runtime> {
  found ??= "Bun" in globalThis
    ? import("./bun.ts").then((module) => module.bunRuntime)
    : import("./deno.ts").then((module) => module.denoRuntime);
  return found;
}
