/**
 * Hopline: a chaining proxy for Deno and Bun.
 *
 * As a module, it gives {@linkcode chain} and the hops to reach a target through proxies, and {@linkcode serve} to offer
 * that on a port. Run as the main program, it is the `hopline` command.
 *
 * @example Reach a web server through an HTTP proxy and a SOCKS5 server inside TLS
 * ```ts
 * import { chain, http, socks5, tls } from "@hopline/hopline";
 *
 * const dialer = chain([http("proxy.corp.example:8080"), tls(), socks5("relay.example.net:443")]);
 * console.log(typeof dialer.dial); // function
 * ```
 *
 * @module
 */
export {
  chain,
  direct,
  h2,
  type HopSettings,
  http,
  serve,
  type Server,
  socks4,
  socks5,
  tls,
} from "./src/library.ts";
export { type DialedFetch, type Fetch, fetchThrough } from "./src/fetch.ts";
export type { Client, Conn, Context, Endpoint, Outgoing } from "./src/core/conn.ts";
export type { Dialer, Hop } from "./src/core/dialer.ts";
export { type ErrorCode, type Failure, ProxyError, type Side, type Stage } from "./src/core/errors.ts";
export { AddressError } from "./src/core/address.ts";
export { type ConfigInput, defineConfig } from "./src/config/schema.ts";
export { ConfigError, type Problem } from "./src/config/problems.ts";
export type { TlsClientOptions } from "./src/protocols/tls.ts";
export { ListenError, type ServerOptions } from "./src/server.ts";
export type { Fields, Level, Log } from "./src/log.ts";

if (import.meta.main) {
  // Not awaited: a configuration that is a program imports this module, which has to be complete by then.
  import("./src/cli/main.ts").then(({ main }) => main());
}
