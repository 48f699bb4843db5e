/**
 * The platform's `fetch`, by way of an HTTP proxy on this machine.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";

/** `fetch`, as both runtimes have it. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** A proxy that asks for a user. */
export interface FetchProxy {
  readonly address: Endpoint;
  readonly username: string;
  readonly password: string;
}

/** A `fetch` of its own, until it is closed. */
export interface ProxiedFetch {
  readonly fetch: Fetch;
  close(): void;
}

/** How long Deno keeps a connection for the next request; as long, an open one keeps the program running. */
const poolIdleTimeout = 1000;

/** Deno's: a client with connections of its own. */
export function denoFetch({ address, username, password }: FetchProxy): ProxiedFetch {
  const url = `http://${formatEndpoint(address)}`;
  const client = Deno.createHttpClient({
    poolIdleTimeout,
    proxy: { url, basicAuth: { username, password } },
  });
  const options: RequestInit & { client: Deno.HttpClient } = { client };
  return { fetch: (input, init) => fetch(input, { ...init, ...options }), close: () => client.close() };
}

/** Bun's: the proxy is an option of each request. A connection kept for the next one would be kept for ever. */
export function bunFetch({ address, username, password }: FetchProxy): ProxiedFetch {
  const proxy = `http://${username}:${password}@${formatEndpoint(address)}`;
  const options: RequestInit & { proxy: string } = { proxy, keepalive: false };
  return { fetch: (input, init) => fetch(input, { ...init, ...options }), close() {} };
}
