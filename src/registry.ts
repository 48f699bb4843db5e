/**
 * The only list of protocols: what clients may speak, and what hops are made of. A new one is a file and a line here.
 *
 * @module
 */
import { formatEndpoint } from "./core/address.ts";
import type { Endpoint } from "./core/conn.ts";
import type { Network } from "./core/direct.ts";
import { type Hop, type Layer, layered, limitedLayer, resolvingHop, tunnelHop } from "./core/dialer.ts";
import { asProxyError } from "./core/errors.ts";
import type { Handshake } from "./core/handshake.ts";
import type { Inbound } from "./core/serve.ts";
import { h2Hop } from "./protocols/h2_hop.ts";
import { h2 } from "./protocols/h2_server.ts";
import { anonymous, type Authenticator, basic } from "./protocols/http_challenges.ts";
import { connect as httpConnect } from "./protocols/http_connect.ts";
import { httpProxy } from "./protocols/http_proxy.ts";
import { connect as socks4Connect, socks4 } from "./protocols/socks4.ts";
import { connect as socks5Connect, socks5 } from "./protocols/socks5.ts";
import { proxyProtocolLayer, type ProxyProtocolVersion } from "./protocols/proxy_protocol.ts";
import { type TlsClientOptions, tlsLayer } from "./protocols/tls.ts";

/** What listeners speak, in the order in which it is sniffed. */
export const inbound = { socks5, socks4, h2, http: httpProxy } satisfies Record<string, Inbound>;

/** A protocol as a listener's configuration names it: HTTP means all versions of it. */
export type InboundName = Exclude<keyof typeof inbound, "h2">;

/** What each protocol is called there. */
export const calledInConfig = {
  socks5: "socks5",
  socks4: "socks4",
  h2: "http",
  http: "http",
} as const satisfies Record<keyof typeof inbound, InboundName>;

/** What a listener that speaks HTTP offers by ALPN inside TLS. */
export const httpVersions = ["h2", "http/1.1"] as const;

/** What a hop is made from, whether a file, a URL or a program says it. */
export interface HopOptions {
  /** The hop's name in the configuration; without it, the log shows its URL. */
  readonly name?: string;
  readonly protocol: HopProtocol;
  readonly address: Endpoint;
  /** TLS around the hop's protocol. */
  readonly tls?: TlsClientOptions;
  /** The version of the PROXY protocol in which the hop is told of the client, before TLS. */
  readonly proxyProtocol?: ProxyProtocolVersion;
  readonly username?: string;
  readonly password?: string;
  /** `local` resolves names here; otherwise they travel to the hop unresolved. */
  readonly resolve?: "local";
  /** `absolute` sends requests of HTTP for port 80 in absolute-form; everything else goes by CONNECT. */
  readonly forward?: "absolute";
  /** Milliseconds that the hop may take, TLS and handshake together. */
  readonly timeout?: number;
}

type Request = (target: Endpoint) => Handshake<unknown>;

/** How each kind of hop is asked for a tunnel. */
const requests = {
  http: (options): Request => (target) => httpConnect(target, authenticator(options)),
  h2: (options): Request => (target) => httpConnect(target, authenticator(options)),
  socks5: ({ username, password = "" }): Request => (target) =>
    socks5Connect(target, username === undefined ? undefined : { username, password }),
  socks4a: ({ username }): Request => (target) => socks4Connect(target, username),
  socks4: ({ username }): Request => (target) => socks4Connect(target, username),
} satisfies Record<string, (options: Omit<HopOptions, "protocol">) => Request>;

/** A protocol that hops may speak. */
export type HopProtocol = keyof typeof requests;

/**
 * Makes a hop. `fallback` is the time-out in milliseconds for hops that have none of their own; when `retired` aborts,
 * they keep no idle connections.
 */
export function makeHop(
  options: HopOptions,
  resolve: Network["resolve"],
  fallback: number,
  retired?: AbortSignal,
): Hop {
  const { protocol, address, tls, proxyProtocol } = options;
  const timeout = options.timeout ?? fallback;
  const hop = sharedHop(options, timeout, retired) ?? tunnelHop({
    label: hopLabel(options),
    name: options.name,
    server: address,
    layer: layered(proxyProtocol && proxyProtocolLayer(proxyProtocol), tls && tlsLayer(tls)),
    handshake: requests[protocol](options),
    timeout,
    absolute: options.forward && { authorization: authenticator(options).first() },
  });
  if (protocol === "socks4") return resolvingHop(hop, resolve, [4]);
  return options.resolve === "local" ? resolvingHop(hop, resolve, [4, 6]) : hop;
}

/** What goes around a connection to a target: who the client is, then TLS. */
export function targetLayer(
  { proxyProtocol, tls }: Pick<HopOptions, "proxyProtocol" | "tls">,
  timeout: number,
): Layer | undefined {
  const layer = layered(proxyProtocol && proxyProtocolLayer(proxyProtocol), tls && tlsLayer(tls));
  if (layer === undefined) return undefined;
  const limited = limitedLayer(layer, timeout);
  return async (conn, server, ctx) => {
    try {
      return await limited(conn, server, ctx);
    } catch (error) {
      const failure = asProxyError(error, { code: "closed", side: "upstream", stage: "connect" });
      throw failure.at(0, `target (${formatEndpoint(server)})`);
    }
  };
}

/**
 * A hop that may speak HTTP/2: `h2`, or HTTP inside TLS unless its ALPN names leave that out. A client that
 * the hop is told of shares no connection, nor does a request in absolute form.
 */
function sharedHop(options: HopOptions, timeout: number, retired?: AbortSignal): Hop | undefined {
  const { protocol, tls, proxyProtocol, forward } = options;
  if (protocol !== "h2" && (protocol !== "http" || tls === undefined)) return undefined;
  if (proxyProtocol !== undefined || forward !== undefined) return undefined;
  const alpn = tls?.alpn?.length ? tls.alpn : protocol === "h2" ? ["h2"] : httpVersions;
  if (!alpn.includes("h2")) return undefined;
  return h2Hop({
    label: hopLabel(options),
    name: options.name,
    server: options.address,
    layer: tlsLayer({ ...tls, alpn }),
    authenticator: authenticator(options),
    fallback: protocol === "http" && alpn.includes("http/1.1") ? requests.http(options) : undefined,
    timeout,
    retired,
  });
}

function authenticator(
  { username, password = "" }: Pick<HopOptions, "username" | "password">,
): Authenticator {
  return username === undefined ? anonymous : basic(username, password);
}

/** `exit (socks5+tls relay.example.net:443)`, or the URL of a hop without a name; never with credentials. */
export function hopLabel({ name, protocol, address, tls }: HopOptions): string {
  const scheme = tls === undefined || protocol === "h2" ? protocol : `${protocol}+tls`;
  const server = formatEndpoint(address);
  return name === undefined ? `${scheme}://${server}` : `${name} (${scheme} ${server})`;
}
