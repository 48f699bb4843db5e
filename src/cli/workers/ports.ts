/**
 * The ports of a service, found before its workers share them: a port that another program has is refused, and a free
 * one that was asked for is the same for all.
 *
 * @module
 */
import type { Endpoint, Listener } from "../../core/conn.ts";
import type { Config } from "../../config/schema.ts";
import { currentRuntime } from "../../runtime/runtime.ts";
import { listenerKey } from "../../plan.ts";
import { cannotListen } from "../../server.ts";

/** A configuration whose listeners all have a port, and the bound addresses of those that are new. */
export interface Found {
  readonly config: Config;
  readonly added: readonly Endpoint[];
}

/** The ports that a service has. */
export class Ports {
  #bound = new Map<string, Endpoint>();

  /** Finds the ports of a configuration. When one can't be had nothing changes. @throws ListenError */
  async find(config: Config): Promise<Found> {
    const bound = new Map<string, Endpoint>();
    const held: Listener[] = [];
    const added: Endpoint[] = [];
    try {
      for (const [index, { address }] of config.listeners.entries()) {
        const key = listenerKey(address, index);
        let found = this.#bound.get(key);
        if (found === undefined) {
          found = this.#has(address.port) ? address : await take(address, held);
          added.push(found);
        }
        bound.set(key, found);
      }
    } finally {
      // All are held until the last is found, so that no two get the same.
      for (const listener of held) void release(listener);
    }
    this.#bound = bound;
    const listeners = config.listeners.map((listener, index) => {
      const { port } = bound.get(listenerKey(listener.address, index))!;
      return { ...listener, address: { ...listener.address, port } };
    });
    return { config: { ...config, listeners }, added };
  }

  /** A port that the workers have is theirs on other addresses too, for all that can be found out from here. */
  #has(port: number): boolean {
    return port !== 0 && [...this.#bound.values()].some((bound) => bound.port === port);
  }
}

/** Finds whether a port can be had, and keeps it. */
async function take(address: Endpoint, held: Listener[]): Promise<Endpoint> {
  try {
    const listener = await (await currentRuntime()).listen(address);
    held.push(listener);
    return listener.addr;
  } catch (error) {
    throw cannotListen(address, error);
  }
}

/** Whoever has come in the meantime has come too early. */
async function release(listener: Listener): Promise<void> {
  listener.close();
  for await (const conn of listener) conn.abort();
}
