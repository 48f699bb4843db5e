/**
 * Addresses as sockets report them, and which of them are our own.
 *
 * @module
 */
import type { Endpoint, Outgoing } from "../core/conn.ts";

type Ends = readonly [local: Endpoint, remote: Endpoint];

/** A server's outgoing connections, by both ends: a client of this machine may well have the port of one of them. */
export class OutgoingAddresses implements Outgoing {
  /** By both ports, which all but settles it. */
  readonly #connections = new Map<number, Ends[]>();

  add(local: Endpoint, remote: Endpoint): void {
    const same = this.#connections.get(ports(local, remote));
    if (same === undefined) this.#connections.set(ports(local, remote), [[local, remote]]);
    else same.push([local, remote]);
  }

  delete(local: Endpoint, remote: Endpoint): void {
    const same = this.#connections.get(ports(local, remote)) ?? [];
    const index = same.findIndex((ends) => areEnds(ends, local, remote));
    if (index >= 0) same.splice(index, 1);
    if (same.length === 0) this.#connections.delete(ports(local, remote));
  }

  /** Whether a connection from `client` that was accepted at `here` is one of them. */
  has(client: Endpoint, here: Endpoint): boolean {
    const same = this.#connections.get(ports(client, here));
    return same !== undefined && same.some((ends) => areEnds(ends, client, here));
  }
}

function ports(from: Endpoint, to: Endpoint): number {
  return from.port << 16 | to.port;
}

function areEnds([from, to]: Ends, local: Endpoint, remote: Endpoint): boolean {
  return from.hostname === local.hostname && to.hostname === remote.hostname;
}

/** An address as a socket reports it; an IPv4 client of a dual-stack listener is an IPv4 client. */
export function endpoint(hostname: string, port: number): Endpoint {
  const mapped = hostname.startsWith("::ffff:") && hostname.includes(".");
  return { hostname: mapped ? hostname.slice(7) : hostname, port };
}
