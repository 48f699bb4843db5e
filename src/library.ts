/**
 * Hops, chains and servers for programs: what `mod.ts` exports, over the runtime that it runs on.
 *
 * @module
 */
import { parseEndpoint } from "./core/address.ts";
import type { Endpoint } from "./core/conn.ts";
import { type Dialer, fold, type Hop, limited, place } from "./core/dialer.ts";
import { directDialer, type Network } from "./core/direct.ts";
import { validateConfig } from "./config/load.ts";
import type { ConfigInput } from "./config/schema.ts";
import { type TlsClientOptions, tlsHop } from "./protocols/tls.ts";
import { type HopProtocol, makeHop } from "./registry.ts";
import { currentRuntime } from "./runtime/runtime.ts";
import { Server as Running, type ServerOptions } from "./server.ts";

/** What a hop may be told besides its address. */
export interface HopSettings {
  /** The user name to log in with; SOCKS4 sends it as the user id. */
  readonly username?: string;
  /** The password to log in with. */
  readonly password?: string;
  /** `"local"` resolves names here; otherwise they travel to the hop unresolved. */
  readonly resolve?: "local";
  /** Tells the hop of {@linkcode Context.client} first, in this version of the PROXY protocol. */
  readonly proxyProtocol?: 1 | 2;
  /** `"absolute"`, for an HTTP proxy: requests for port 80 go to it in absolute form instead of by CONNECT. */
  readonly forward?: "absolute";
  /** Milliseconds that the hop's handshake may take. Default: 10,000. */
  readonly timeout?: number;
}

/** A server that runs until it is closed; `await using` closes it at once. */
export interface Server extends AsyncDisposable {
  /** The bound addresses, in the order of the listeners. */
  readonly addresses: readonly Endpoint[];
  /**
   * Takes up another configuration: unchanged listeners keep their sockets, live tunnels go on as they are.
   *
   * @throws ConfigError or ListenError, and then nothing has changed
   */
  replace(config: ConfigInput): Promise<void>;
  /** Stops accepting, lets live tunnels finish for up to `drain` milliseconds (`timeouts.drain`), then ends them. */
  close(drain?: number): Promise<void>;
}

const defaultTimeout = 10_000;

/** The runtime's network, looked for when first used. */
const network: Network = {
  connect: async (address, ctx) => await (await currentRuntime()).connect(address, ctx),
  resolve: async (hostname, family, ctx) => await (await currentRuntime()).resolve(hostname, family, ctx),
};

/**
 * A dialer that connects by itself: names are resolved here and their addresses raced (RFC 8305, Happy Eyeballs).
 * An attempt that takes longer than 10 seconds fails.
 *
 * @example Reach a server without any hop
 * ```ts
 * import { direct, serve } from "@hopline/hopline";
 *
 * await using server = await serve({ listeners: ["127.0.0.1:0"], log: { level: "error" } });
 * const [address] = server.addresses;
 * const conn = await direct().dial(address);
 * conn.close();
 * ```
 */
export function direct(): Dialer {
  return place(limited(directDialer(network), defaultTimeout), 0, "direct");
}

/**
 * The dialer that goes through `hops`, the nearest first. Its errors are {@linkcode ProxyError}s that count hops
 * from 1; each hop is reached through those before it, and names travel to the last one unresolved.
 *
 * @param hops in the order in which they are passed; none connects directly
 * @param from what reaches the first hop; by default a direct connection
 *
 * @example An HTTP proxy, then SOCKS5 inside TLS
 * ```ts
 * import { chain, http, socks5, tls } from "@hopline/hopline";
 *
 * const dialer = chain([http("proxy.corp.example:8080"), tls(), socks5("relay.example.net:443")]);
 * console.log(typeof dialer.dial); // function
 * ```
 *
 * @example Two hops on this machine
 * ```ts
 * import { chain, http, serve, socks5 } from "@hopline/hopline";
 *
 * const quiet = { level: "error" } as const;
 * await using near = await serve({ listeners: ["127.0.0.1:0"], log: quiet });
 * await using far = await serve({ listeners: ["127.0.0.1:0"], log: quiet });
 * const dialer = chain([http(near.addresses[0]), socks5(far.addresses[0])]);
 * const conn = await dialer.dial(near.addresses[0]);
 * conn.close();
 * ```
 */
export function chain(hops: readonly Hop[], from?: Dialer): Dialer {
  if (hops.length === 0) return from ?? direct();
  return fold(from ?? limited(directDialer(network), defaultTimeout), hops);
}

/**
 * A hop through an HTTP proxy by CONNECT (RFC 9110 section 9.3.6), with Basic credentials (RFC 7617) if given.
 *
 * @param address `host` or `host:port`; the port is 80 unless given
 * @throws AddressError when `address` can't be parsed
 *
 * @example
 * ```ts
 * import { http } from "@hopline/hopline";
 *
 * const hop = http("proxy.corp.example:8080", { username: "alice", password: "secret" });
 * console.log(hop.label); // http://proxy.corp.example:8080
 * ```
 */
export function http(address: string | Endpoint, settings: HopSettings = {}): Hop {
  return hop("http", address, 80, settings);
}

/**
 * A hop through an HTTP/2 proxy (RFC 9113 section 8.5), inside TLS: all tunnels of a chain share its connections.
 *
 * @param address `host` or `host:port`; the port is 443 unless given
 * @param settings `tls` as in {@linkcode tls}, without which the server's certificate is verified for its host
 * @throws AddressError when `address` can't be parsed
 *
 * @example
 * ```ts
 * import { h2 } from "@hopline/hopline";
 *
 * const hop = h2("relay.example.net", { username: "alice", password: "secret" });
 * console.log(hop.label); // h2://relay.example.net:443
 * ```
 */
export function h2(
  address: string | Endpoint,
  settings: Omit<HopSettings, "forward" | "proxyProtocol"> & { readonly tls?: TlsClientOptions } = {},
): Hop {
  return hop("h2", address, 443, settings);
}

/**
 * A hop through a SOCKS5 server (RFC 1928), with a user name and password (RFC 1929) if given.
 *
 * @param address `host` or `host:port`; the port is 1080 unless given
 * @throws AddressError when `address` can't be parsed
 *
 * @example
 * ```ts
 * import { socks5 } from "@hopline/hopline";
 *
 * console.log(socks5("relay.example.net").label); // socks5://relay.example.net:1080
 * ```
 */
export function socks5(address: string | Endpoint, settings: HopSettings = {}): Hop {
  return hop("socks5", address, 1080, settings);
}

/**
 * A hop through a SOCKS4a server, which is given names; with `resolve: "local"` it is plain SOCKS4, which is not.
 *
 * @param address `host` or `host:port`; the port is 1080 unless given
 * @throws AddressError when `address` can't be parsed
 *
 * @example
 * ```ts
 * import { socks4 } from "@hopline/hopline";
 *
 * console.log(socks4("10.0.0.1", { resolve: "local" }).label); // socks4://10.0.0.1:1080
 * ```
 */
export function socks4(address: string | Endpoint, settings: HopSettings = {}): Hop {
  return hop(settings.resolve === "local" ? "socks4" : "socks4a", address, 1080, settings);
}

/**
 * TLS (RFC 8446) to the server of the hop behind it, or to the target when it stands last. The certificate is
 * verified unless told otherwise, for this layer alone.
 *
 * @param options certificates are PEM text; `timeout` is in milliseconds, 10,000 unless given
 *
 * @example
 * ```ts
 * import { chain, socks5, tls } from "@hopline/hopline";
 *
 * const dialer = chain([tls({ serverName: "relay.example.net" }), socks5("203.0.113.7:443")]);
 * console.log(typeof dialer.dial); // function
 * ```
 */
export function tls(options: TlsClientOptions & { readonly timeout?: number } = {}): Hop {
  return tlsHop(options, options.timeout ?? defaultTimeout);
}

/**
 * Serves a configuration: everything that a configuration file can say, with types.
 *
 * @throws ConfigError with every problem of the configuration
 * @throws ListenError when a port can't be had
 *
 * @example
 * ```ts
 * import { serve, socks5, chain } from "@hopline/hopline";
 *
 * await using server = await serve(
 *   { listeners: [{ address: "127.0.0.1:0" }], log: { level: "error" } },
 *   { dialer: chain([socks5("127.0.0.1:1080")]) },
 * );
 * console.log(server.addresses[0].hostname); // 127.0.0.1
 * ```
 */
export async function serve(config: ConfigInput, options: ServerOptions = {}): Promise<Server> {
  const server = await Running.start(await validateConfig(config), options);
  return {
    get addresses() {
      return server.addresses;
    },
    replace: async (next) => await server.replace(await validateConfig(next)),
    close: (drain) => server.close(drain),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function hop(
  protocol: HopProtocol,
  address: string | Endpoint,
  defaultPort: number,
  settings: HopSettings & { readonly tls?: TlsClientOptions },
): Hop {
  const server = typeof address === "string" ? parseEndpoint(address, { defaultPort }) : address;
  return makeHop({ ...settings, protocol, address: server }, network.resolve, defaultTimeout);
}
