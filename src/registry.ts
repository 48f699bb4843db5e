/**
 * The only list of protocols: what clients may speak, and what hops are made of. A new one is a file and a line here.
 *
 * @module
 */
import { formatEndpoint } from "./core/address.ts";
import type { Endpoint } from "./core/conn.ts";
import type { Network } from "./core/direct.ts";
import { type Hop, layered, resolvingHop, tunnelHop } from "./core/dialer.ts";
import type { Handshake } from "./core/handshake.ts";
import type { Inbound } from "./core/serve.ts";
import { basic, connect as httpConnect } from "./protocols/http_connect.ts";
import { httpProxy } from "./protocols/http_proxy.ts";
import { connect as socks4Connect, socks4 } from "./protocols/socks4.ts";
import { connect as socks5Connect, socks5 } from "./protocols/socks5.ts";
import { proxyProtocolLayer, type ProxyProtocolVersion } from "./protocols/proxy_protocol.ts";
import { type TlsClientOptions, tlsLayer } from "./protocols/tls.ts";

/** What listeners speak, in the order in which it is sniffed. */
export const inbound = { socks5, socks4, http: httpProxy } satisfies Record<string, Inbound>;

/** A protocol that clients may speak. */
export type InboundName = keyof typeof inbound;

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
  http: (options): Request => (target) => httpConnect(target, credentials(options)),
  socks5: ({ username, password = "" }): Request => (target) =>
    socks5Connect(target, username === undefined ? undefined : { username, password }),
  socks4a: ({ username }): Request => (target) => socks4Connect(target, username),
  socks4: ({ username }): Request => (target) => socks4Connect(target, username),
} satisfies Record<string, (options: Omit<HopOptions, "protocol">) => Request>;

function credentials({ username, password = "" }: Pick<HopOptions, "username" | "password">) {
  return username === undefined ? undefined : basic(username, password);
}

/** A protocol that hops may speak. */
export type HopProtocol = keyof typeof requests;

/** Makes a hop. `fallback` is the time-out in milliseconds for hops that have none of their own. */
export function makeHop(options: HopOptions, resolve: Network["resolve"], fallback: number): Hop {
  const { protocol, address, tls, proxyProtocol } = options;
  const hop = tunnelHop({
    label: hopLabel(options),
    server: address,
    layer: layered(proxyProtocol && proxyProtocolLayer(proxyProtocol), tls && tlsLayer(tls)),
    handshake: requests[protocol](options),
    timeout: options.timeout ?? fallback,
    absolute: options.forward && { authorization: credentials(options)?.first() },
  });
  if (protocol === "socks4") return resolvingHop(hop, resolve, [4]);
  return options.resolve === "local" ? resolvingHop(hop, resolve, [4, 6]) : hop;
}

/** `exit (socks5+tls relay.example.net:443)`, or the URL of a hop without a name; never with credentials. */
export function hopLabel({ name, protocol, address, tls }: HopOptions): string {
  const scheme = tls === undefined ? protocol : `${protocol}+tls`;
  const server = formatEndpoint(address);
  return name === undefined ? `${scheme}://${server}` : `${name} (${scheme} ${server})`;
}
