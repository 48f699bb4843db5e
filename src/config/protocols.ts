/**
 * The names of protocols in URLs and in the configuration file, and of what is still to come.
 *
 * @module
 */

/** What the scheme of a hop's URL stands for; the `protocol` of its object form takes the same names. */
export const hopSchemes = {
  "http": { protocol: "http", tls: false, port: 80 },
  "http+tls": { protocol: "http", tls: true, port: 443 },
  "https": { protocol: "http", tls: true, port: 443 },
  "h2": { protocol: "h2", tls: true, port: 443 },
  "socks5": { protocol: "socks5", tls: false, port: 1080 },
  "socks5h": { protocol: "socks5", tls: false, port: 1080 },
  "socks5+tls": { protocol: "socks5", tls: true, port: 443 },
  "socks5h+tls": { protocol: "socks5", tls: true, port: 443 },
  "socks4a": { protocol: "socks4a", tls: false, port: 1080 },
  "socks4a+tls": { protocol: "socks4a", tls: true, port: 443 },
  "socks4": { protocol: "socks4", tls: false, port: 1080 },
  "socks4+tls": { protocol: "socks4", tls: true, port: 443 },
} as const;

/** The scheme of a hop's URL. */
export type HopScheme = keyof typeof hopSchemes;

/** What is spoken with a hop, apart from TLS around it. */
export type HopProtocol = (typeof hopSchemes)[HopScheme]["protocol"];

/** What clients may speak on a listener; `socks4` includes SOCKS4a. */
export const listenerProtocols = ["socks5", "socks4", "http"] as const;

/** A protocol that clients may speak on a listener. */
export type ListenerProtocol = (typeof listenerProtocols)[number];

/** What a route may tell clients apart by: what they speak, or how they came without speaking anything to us. */
export const routeProtocols = [...listenerProtocols, "tcp", "sni"] as const;

/** Names that `via` gives a meaning of its own. */
export const reservedNames: readonly string[] = ["direct", "reject"];

/** The ways to choose among chains or hops. */
export const groupKinds = ["failover", "roundRobin", "random", "leastTunnels", "fastest"] as const;

/** A way to choose among chains or hops. */
export type GroupKind = (typeof groupKinds)[number];

/** The message for a feature of the contract that is not built yet: refused, never ignored. */
export function unsupported(feature: string): string {
  return `${feature} is not supported by this version of Hopline`;
}
