/**
 * Addresses as sockets report them, and which of them are our own.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint, Outgoing } from "../core/conn.ts";

/** The local addresses of a server's outgoing connections. */
export class OutgoingAddresses implements Outgoing {
  readonly #addresses = new Set<string>();

  add(local: Endpoint): void {
    this.#addresses.add(formatEndpoint(local));
  }

  delete(local: Endpoint): void {
    this.#addresses.delete(formatEndpoint(local));
  }

  has(client: Endpoint): boolean {
    return this.#addresses.has(formatEndpoint(client));
  }
}

/** An address as a socket reports it; an IPv4 client of a dual-stack listener is an IPv4 client. */
export function endpoint(hostname: string, port: number): Endpoint {
  const mapped = hostname.startsWith("::ffff:") && hostname.includes(".");
  return { hostname: mapped ? hostname.slice(7) : hostname, port };
}
