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

/** Deno's: a client with connections of its own. */
export function denoFetch({ address, username, password }: FetchProxy): ProxiedFetch {
  const url = `http://${formatEndpoint(address)}`;
  const client = Deno.createHttpClient({ proxy: { url, basicAuth: { username, password } } });
  const options: RequestInit & { client: Deno.HttpClient } = { client };
  return { fetch: (input, init) => fetch(input, { ...init, ...options }), close: () => client.close() };
}

/** Bun's: the proxy is an option of each request. */
export function bunFetch({ address, username, password }: FetchProxy): ProxiedFetch {
  const proxy = `http://${username}:${password}@${formatEndpoint(address)}`;
  const options: RequestInit & { proxy: string } = { proxy };
  return { fetch: (input, init) => fetch(input, { ...init, ...options }), close() {} };
}
