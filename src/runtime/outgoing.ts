/**
 * Addresses as sockets report them, and which of them are our own.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint, Outgoing } from "../core/conn.ts";

/** A server's outgoing connections, by both ends: a client of this machine may well have the port of one of them. */
export class OutgoingAddresses implements Outgoing {
  readonly #connections = new Set<string>();

  add(local: Endpoint, remote: Endpoint): void {
    this.#connections.add(pair(local, remote));
  }

  delete(local: Endpoint, remote: Endpoint): void {
    this.#connections.delete(pair(local, remote));
  }

  /** Whether a connection from `client` that was accepted at `here` is one of them. */
  has(client: Endpoint, here: Endpoint): boolean {
    return this.#connections.has(pair(client, here));
  }
}

function pair(from: Endpoint, to: Endpoint): string {
  return `${formatEndpoint(from)} ${formatEndpoint(to)}`;
}

/** An address as a socket reports it; an IPv4 client of a dual-stack listener is an IPv4 client. */
export function endpoint(hostname: string, port: number): Endpoint {
  const mapped = hostname.startsWith("::ffff:") && hostname.includes(".");
  return { hostname: mapped ? hostname.slice(7) : hostname, port };
}
