/**
 * The outgoing connections of all workers, as far as they may come in again: a loop is found whichever of them it
 * leads through.
 *
 * @module
 */
import type { Context, Endpoint } from "../../core/conn.ts";
import { OutgoingAddresses } from "../../runtime/outgoing.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Channel } from "./channel.ts";
import type { Ends, SupervisorCalls } from "./calls.ts";

/** This worker's connections, and those of the others that lead to a listener of the service. */
export class CrewOutgoing {
  readonly #own = new OutgoingAddresses();
  /** What the others have been told of. */
  readonly #told = new OutgoingAddresses();
  readonly #others = new Map<number, OutgoingAddresses>();

  /** @param listeners the addresses that the service listens on */
  constructor(
    readonly supervisor: Pick<Channel<SupervisorCalls>, "call" | "tell">,
    readonly listeners: () => readonly Endpoint[],
  ) {}

  add(local: Endpoint, remote: Endpoint): void {
    this.#own.add(local, remote);
  }

  delete(local: Endpoint, remote: Endpoint): void {
    this.#own.delete(local, remote);
    if (!this.#told.has(local, remote)) return;
    this.#told.delete(local, remote);
    this.supervisor.tell("disconnected", { local, remote });
  }

  has(client: Endpoint, here: Endpoint): boolean {
    if (this.#own.has(client, here)) return true;
    for (const others of this.#others.values()) if (others.has(client, here)) return true;
    return false;
  }

  connected(from: number, { local, remote }: Ends): void {
    let others = this.#others.get(from);
    if (others === undefined) this.#others.set(from, others = new OutgoingAddresses());
    others.add(local, remote);
  }

  disconnected(from: number, { local, remote }: Ends): void {
    this.#others.get(from)?.delete(local, remote);
  }

  gone(from: number): void {
    this.#others.delete(from);
  }

  /** A runtime whose connections to a listener of the service are used once all workers know of them. */
  over(runtime: Runtime): Runtime {
    const connect = async (address: Endpoint, ctx: Context) => {
      const conn = await runtime.connect(address, ctx);
      const { localAddr: local, remoteAddr: remote } = conn;
      if (
        ctx.outgoing === undefined || local === null || remote === null || !this.#leadsHere(local, remote)
      ) {
        return conn;
      }
      this.#told.add(local, remote);
      await this.supervisor.call("connected", { local, remote }).catch(() => {});
      if (!ctx.signal.aborted) return conn;
      conn.abort();
      throw ctx.signal.reason;
    };
    return { ...runtime, connect };
  }

  #leadsHere(local: Endpoint, remote: Endpoint): boolean {
    return this.listeners().some(({ hostname, port }) =>
      port === remote.port &&
      (hostname === remote.hostname || isEvery(hostname) && isOwn(remote.hostname, local.hostname))
    );
  }
}

function isEvery(hostname: string): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}

/** Whoever connects to an address of the machine does so from the same address, or stays on the loopback. */
function isOwn(remote: string, local: string): boolean {
  return remote === local || remote.startsWith("127.") || remote === "::1";
}
