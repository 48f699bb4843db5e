/**
 * The URLs of hops and listeners.
 *
 * The parser is our own because the platform's `URL` knows neither `socks5,http://` nor `:1080`, forgives what should
 * be reported, and drops a port that is the scheme's default. What comes out is the object form of the same thing, so
 * that a URL and an object are checked by one schema.
 *
 * Messages never quote the text in front of an `@`, nor a port that is not a number: either may be a password.
 *
 * @module
 */
import { AddressError, formatEndpoint, parseHostname, parsePort } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { suggestion } from "./nearest.ts";
import { quote, ValueError } from "./problems.ts";
import { type HopScheme, hopSchemes, type ListenerProtocol, listenerProtocols } from "./protocols.ts";
import { decode, hopOptions, listenerOptions, type Options, readOptions } from "./url_options.ts";

/** A hop as its URL says it: the object form of the configuration file, options not yet checked. */
export interface HopUrl {
  protocol: HopScheme;
  address: string;
  username?: string;
  password?: string;
  tls?: {
    serverName?: string;
    ca?: string;
    certificate?: string;
    key?: string;
    pins?: string[];
    alpn?: string[];
    insecure?: boolean;
  };
  resolve?: "local";
  forward?: "absolute";
  timeout?: string;
  proxyProtocol?: 1 | 2;
}

/** A listener as its URL says it: the object form of the configuration file, options not yet checked. */
export interface ListenerUrl {
  address: string;
  protocols?: ListenerProtocol[];
  target?: string;
  tls?: { certificate?: string; key?: string; clientCa?: string; required?: boolean };
  users?: { username: string; password: string }[];
  open?: boolean;
  forwarded?: boolean;
  reverse?: boolean;
  proxyProtocol?: { trusted: string[] };
  sni?: boolean | { port?: number };
}

/**
 * Parses the URL of a hop.
 *
 * @example
 * ```ts
 * parseHopUrl("socks5://alice:secret@relay.example.net");
 * // { protocol: "socks5", address: "relay.example.net:1080", username: "alice", password: "secret" }
 * ```
 * @throws ValueError
 */
export function parseHopUrl(text: string): HopUrl {
  const url = split(text);
  if (url.scheme === undefined) {
    throw new ValueError("expected scheme://[user:password@]host[:port], found no scheme such as socks5://");
  }
  const protocol = hopScheme(url.scheme);
  const { tls, port } = hopSchemes[protocol];
  if (url.host === "") throw new ValueError("expected scheme://[user:password@]host[:port], found no host");
  if (url.path !== "" && url.path !== "/") throw new ValueError("a hop's URL has no path");
  const address = endpoint(url, port);
  const options = readOptions(url.query, hopOptions);
  if (options.tls !== undefined && !tls) throw needsTls(url.query, hopOptions, `${protocol}+tls://`);
  return { protocol, address: formatEndpoint(address), ...credentials(url), ...options } as HopUrl;
}

/**
 * Parses the URL of a listener; the scheme may be left out.
 *
 * @throws ValueError
 */
export function parseListenerUrl(text: string): ListenerUrl {
  const url = split(text);
  const { protocols, tls, forward, sni } = listenerScheme(url.scheme ?? "auto");
  const address = formatEndpoint(listenAddress(url));
  const target = forwardTarget(url, forward);
  const options = readOptions(url.query, listenerOptions);
  if (options.sni !== undefined && !sni) throw new ValueError("`port` is an option of sni://");
  if (sni) {
    if (options.tls !== undefined) {
      throw new ValueError("sni:// terminates no TLS; a listener that does both is written as an object");
    }
    if (url.userInfo !== undefined) throw new ValueError("sni:// cannot ask for a user");
  }
  if (tls) options.tls = { ...options.tls, required: true };
  else if (options.tls !== undefined && protocols !== undefined) {
    throw needsTls(url.query, listenerOptions, `${url.scheme}+tls:// (required) or auto:// (optional)`);
  } else if (options.tls !== undefined && forward) throw needsTls(url.query, listenerOptions, "tcp+tls://");
  const { username, password } = credentials(url);
  return {
    address,
    ...(protocols && { protocols }),
    ...(target !== undefined && { target }),
    ...(sni && { sni: true }),
    ...(username !== undefined && { users: [{ username, password: password ?? "" }] }),
    ...options,
  } as ListenerUrl;
}

/** Parses a listener's `[host]:port`; no host means every address, port 0 any free port. */
export function parseListenAddress(text: string): Endpoint {
  if (text.includes("@")) throw new ValueError("expected [host]:port; users are listed under `users`");
  const match = hostAndPort.exec(text);
  if (match === null) throw new ValueError(`expected [host]:port, found ${quote(text)}`);
  return listenAddress({ host: match[1] ?? "", port: match[2] });
}

/** Parses `host:port`, where the port may be left out if there is a default. */
export function parseAddress(text: string, defaultPort?: number): Endpoint {
  if (text.includes("@")) {
    throw new ValueError("expected host:port; credentials are given as `username` and `password`");
  }
  const match = text.includes("://") ? null : hostAndPort.exec(text);
  if (match === null || !match[1]) {
    throw new ValueError(`expected host:port (an IPv6 address in brackets), found ${quote(text)}`);
  }
  return endpoint({ host: match[1], port: match[2] }, defaultPort);
}

interface Split {
  scheme?: string;
  userInfo?: string;
  host: string;
  port?: string;
  path: string;
  query?: string;
}

const parts = /^(?:([A-Za-z][A-Za-z0-9+.,-]*):\/\/)?([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?$/s;
const hostAndPort = /^(\[[^\]]*\]|[^:[\]]*)(?::([^:]*))?$/s;

/** Takes a URL apart without looking at what the parts mean. */
function split(text: string): Split {
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x20\x7f]/.test(text)) {
    throw new ValueError("a URL holds no space or control character; percent-encode it (a space is %20)");
  }
  const [, scheme, authority = "", path = "", query, fragment] = parts.exec(text) ?? [];
  const at = authority.indexOf("@");
  if (authority.includes("@", at + 1) || `${path}${query ?? ""}${fragment ?? ""}`.includes("@")) {
    throw new ValueError(
      "percent-encode what is special in a user name or password: @ is %40, / %2F, ? %3F, # %23",
    );
  }
  if (fragment !== undefined) throw new ValueError("a `#` has no meaning here; percent-encode it as %23");
  const match = hostAndPort.exec(authority.slice(at + 1));
  if (match === null) {
    throw new ValueError("expected host:port behind the scheme; an IPv6 address stands in brackets");
  }
  return {
    scheme: scheme?.toLowerCase(),
    userInfo: at < 0 ? undefined : authority.slice(0, at),
    host: match[1] ?? "",
    port: match[2],
    path,
    query,
  };
}

function hopScheme(scheme: string): HopScheme {
  if (Object.hasOwn(hopSchemes, scheme)) return scheme as HopScheme;
  throw new ValueError(`unknown scheme ${quote(scheme)}${suggestion(scheme, Object.keys(hopSchemes), '"')}`);
}

interface ListenerScheme {
  protocols?: ListenerProtocol[];
  tls: boolean;
  forward: boolean;
  sni: boolean;
}

/** `socks5,http+tls`: TLS is a matter of the whole listener, so it stands behind the last name, or behind each. */
function listenerScheme(scheme: string): ListenerScheme {
  const names = scheme.split(",").map((name) => name === "https" ? "http+tls" : name);
  const inTls = names.filter((name) => name.endsWith("+tls"));
  const tls = names.at(-1)!.endsWith("+tls");
  if (inTls.length > 1 && inTls.length < names.length || inTls.length === 1 && !tls) {
    throw new ValueError(
      `TLS is for all protocols of a listener: write ${names.join(",").replaceAll("+tls", "")}+tls://`,
    );
  }
  const bare = names.map((name) => name.replace(/\+tls$/, ""));
  const [only, ...others] = bare;
  if (others.length === 0 && ["auto", "tcp", "sni"].includes(only)) {
    if (only === "sni" && tls) throw new ValueError("sni:// is always TLS; write it without +tls");
    return { tls, forward: only === "tcp", sni: only === "sni" };
  }
  return { protocols: [...new Set(bare.map(listenerProtocol))], tls, forward: false, sni: false };
}

function listenerProtocol(name: string): ListenerProtocol {
  const protocol = { socks5h: "socks5", socks4a: "socks4" }[name] ?? name;
  if ((listenerProtocols as readonly string[]).includes(protocol)) return protocol as ListenerProtocol;
  if (["auto", "tcp", "sni"].includes(name)) throw new ValueError(`${name}:// stands alone, not in a list`);
  throw new ValueError(
    `unknown scheme ${quote(name)}${suggestion(name, ["auto", "tcp", "sni", ...listenerProtocols], '"')}`,
  );
}

function forwardTarget({ path }: Split, forward: boolean): string | undefined {
  if (!forward && path !== "" && path !== "/") {
    throw new ValueError("only tcp:// has a target behind the address: tcp://[host]:port/target:port");
  }
  if (!forward) return undefined;
  if (path.length < 2) throw new ValueError("expected tcp://[host]:port/target:port, found no target");
  return formatEndpoint(parseAddress(path.slice(1)));
}

function listenAddress({ host, port }: Pick<Split, "host" | "port">): Endpoint {
  return endpoint({ host: host === "" ? "[::]" : host, port }, undefined, 0);
}

/** Checks host and port; a port that is no number is not quoted, for in `http://alice:secret` it is a password. */
function endpoint({ host, port }: Pick<Split, "host" | "port">, defaultPort?: number, least = 1): Endpoint {
  if (port === undefined && defaultPort === undefined) {
    throw new ValueError("expected host:port, found no port");
  }
  if (port !== undefined && !/^[0-9]{1,6}$/.test(port)) {
    throw new ValueError(`expected a port from ${least} to 65535, found something else behind the host`);
  }
  try {
    const hostname = parseHostname(host.replace(/^\[(.*)\]$/s, "$1"));
    if (host.startsWith("[") !== hostname.includes(":")) {
      throw new ValueError(`${quote(host)} is not an IPv6 address in brackets`);
    }
    return { hostname, port: port === undefined ? defaultPort! : parsePort(port, least) };
  } catch (error) {
    throw error instanceof AddressError ? new ValueError(error.message) : error;
  }
}

function credentials({ userInfo }: Split): { username?: string; password?: string } {
  if (userInfo === undefined) return {};
  const colon = userInfo.indexOf(":");
  if (colon < 0) return { username: decode(userInfo, "the user name") };
  return {
    username: decode(userInfo.slice(0, colon), "the user name"),
    password: decode(userInfo.slice(colon + 1), "the password"),
  };
}

function needsTls(query: string | undefined, options: Options, instead: string): ValueError {
  const key = [...new URLSearchParams(query).keys()].find((key) => options[key]?.path[0] === "tls");
  return new ValueError(`\`${key}\` is an option of TLS, and this URL has none: write ${instead}`);
}
