/**
 * Addresses as sockets report them, and which of them are our own.
 *
 * @module
 */
import type { Endpoint, Outgoing } from "../core/conn.ts";

/** A connection, and the next of those that have the same ports. */
interface Ends {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  next: Ends | undefined;
}

/** A server's outgoing connections, by both ends: a client of this machine may well have the port of one of them. */
export class OutgoingAddresses implements Outgoing {
  /** By both ports, which all but settles it. */
  readonly #connections = new Map<number, Ends>();

  add(local: Endpoint, remote: Endpoint): void {
    const key = ports(local, remote);
    this.#connections.set(key, { local, remote, next: this.#connections.get(key) });
  }

  delete(local: Endpoint, remote: Endpoint): void {
    const key = ports(local, remote);
    let before: Ends | undefined;
    let ends = this.#connections.get(key);
    while (ends !== undefined && !areEnds(ends, local, remote)) [before, ends] = [ends, ends.next];
    if (ends === undefined) return;
    if (before !== undefined) before.next = ends.next;
    else if (ends.next !== undefined) this.#connections.set(key, ends.next);
    else this.#connections.delete(key);
  }

  /** Whether a connection from `client` that was accepted at `here` is one of them. */
  has(client: Endpoint, here: Endpoint): boolean {
    let ends = this.#connections.get(ports(client, here));
    while (ends !== undefined && !areEnds(ends, client, here)) ends = ends.next;
    return ends !== undefined;
  }
}

function ports(from: Endpoint, to: Endpoint): number {
  return from.port << 16 | to.port;
}

function areEnds(ends: Ends, local: Endpoint, remote: Endpoint): boolean {
  return ends.local.hostname === local.hostname && ends.remote.hostname === remote.hostname;
}

/** An address as a socket reports it; an IPv4 client of a dual-stack listener is an IPv4 client. */
export function endpoint(hostname: string, port: number): Endpoint {
  const mapped = hostname.startsWith("::ffff:") && hostname.includes(".");
  return { hostname: mapped ? hostname.slice(7) : hostname, port };
}
