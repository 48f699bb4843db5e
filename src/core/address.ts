/**
 * Host names, addresses and ports: the one place where any of them is parsed.
 *
 * A name that passes here is safe to put into a SOCKS message, an HTTP head, a log line or a resolver; injection
 * through host names (NUL, CR, LF, `@`, `/`, `:`, `%`) ends in this file.
 *
 * @module
 */
import ipaddr from "ipaddr.js";
import type { Endpoint } from "./conn.ts";
import { ProxyError } from "./errors.ts";

/** What was wrong with an address; each caller wraps it in an error of its own. */
export class AddressError extends Error {
  /** The class, for those who print it. */
  override readonly name = "AddressError";
}

const [zero, dot] = ["0".charCodeAt(0), ".".charCodeAt(0)];

/** Four numbers from 0 to 255 without leading zeros, as one number; -1 for anything else. Every tunnel comes by here. */
function fourOctets(text: string): number {
  let [value, octet, dots] = [0, -1, 0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === dot && octet >= 0) {
      value = value * 256 + octet;
      octet = -1;
      dots++;
      continue;
    }
    const digit = code - zero;
    if (!(digit >= 0 && digit <= 9) || octet === 0) return -1;
    octet = octet < 0 ? digit : octet * 10 + digit;
    if (octet > 255) return -1;
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : -1;
}

/**
 * An IPv6 address without dots: the library takes `::1.2.3.4` for `::ffff:1.2.3.4`, and numbers at the end that are no
 * IPv4 address for one. Nothing is left of those.
 */
function inGroups(text: string): string {
  const at = text.lastIndexOf(":") + 1;
  if (at === 0 || !text.includes(".", at)) return text;
  const value = fourOctets(text.slice(at));
  return value < 0
    ? ""
    : `${text.slice(0, at)}${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}`;
}

/** 4 or 6 for an IP address literal, 0 for anything else. */
export function ipVersion(hostname: string): 0 | 4 | 6 {
  if (fourOctets(hostname) >= 0) return 4;
  return hostname.includes(":") && !hostname.includes("%") && ipaddr.IPv6.isValid(inGroups(hostname)) ? 6 : 0;
}

/** The 4 or 16 bytes of an address literal. */
export function ipBytes(hostname: string): Uint8Array {
  const value = fourOctets(hostname);
  if (value < 0) return Uint8Array.from(ipaddr.parse(inGroups(hostname)).toByteArray());
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/**
 * The bytes of the address that a resolver takes this for, in every spelling: `2130706433`, `0x7f.1` and `0177.0.0.1`
 * are 127.0.0.1, and so are `127.0.0.1.` and `::ffff:127.0.0.1`; a zone says nothing of the address. Nothing for a
 * name.
 */
export function literalBytes(hostname: string): Uint8Array | undefined {
  // Most are names: the library would find that out by throwing.
  if (!/^\d|:/.test(hostname)) return undefined;
  if (fourOctets(hostname) >= 0) return ipBytes(hostname);
  const text = hostname.replace(/\.$/, "");
  if (ipaddr.IPv4.isValid(text)) return Uint8Array.from(ipaddr.IPv4.parse(text).toByteArray());
  const [address] = text.split("%", 1);
  if (ipVersion(address) !== 6) return undefined;
  return Uint8Array.from(ipaddr.process(inGroups(address)).toByteArray());
}

/** The address that a resolver takes this for, in its canonical spelling. Nothing for a name. */
export function literalAddress(hostname: string): string | undefined {
  if (fourOctets(hostname) >= 0) return hostname;
  const bytes = literalBytes(hostname);
  return bytes && ipFromBytes(bytes);
}

/** A name in the one form in which names are compared: without case, and without the dot of the root. */
export function foldName(hostname: string): string {
  return hostname.toLowerCase().replace(/\.$/, "");
}

/** The address that 4 or 16 bytes stand for, in its canonical spelling (RFC 5952). */
export function ipFromBytes(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  return new ipaddr.IPv6([...bytes]).toString();
}

function isLocalhost(hostname: string): boolean {
  return foldName(hostname) === "localhost";
}

/** What `localhost` is, a name that never leaves the machine (RFC 6761 section 6.3); nothing for other names. */
export function localhost(hostname: string, family: 4 | 6): string[] | undefined {
  return isLocalhost(hostname) ? [family === 4 ? "127.0.0.1" : "::1"] : undefined;
}

/** Whether a host is this machine: 127.0.0.0/8, ::1, mapped forms of them, or `localhost`. */
export function isLoopback(hostname: string): boolean {
  if (ipVersion(hostname) === 0) return isLocalhost(hostname);
  return ipaddr.process(inGroups(hostname)).range() === "loopback";
}

const nameCharacters = /^[A-Za-z0-9._-]+$/;

/**
 * Checks a host name or address literal and returns it in the form that goes on the wire: addresses canonical,
 * other names as ASCII (IDNA).
 *
 * @throws AddressError
 */
export function parseHostname(text: string): string {
  if (text === "") throw new AddressError("the host is empty");
  if (nameCharacters.test(text)) {
    if (text.length > 255) throw new AddressError(`the host is ${text.length} bytes long; at most 255 fit`);
    return withoutGaps(text);
  }
  if (ipVersion(text) === 6) return ipaddr.parse(inGroups(text)).toString();
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x20\x7f"#%/:<>?@[\\\]^`{|}]/.test(text)) {
    throw new AddressError(`${quote(text)} is not a host name`);
  }
  return toAscii(text);
}

function toAscii(text: string): string {
  const { hostname } = URL.parse(`http://${text}/`) ?? { hostname: "" };
  if (!nameCharacters.test(hostname) || hostname.length > 255) {
    throw new AddressError(`${quote(text)} is not a host name`);
  }
  return withoutGaps(hostname);
}

/** Some proxies drop surplus dots: what they would take for `a.example` must not pass here for another name. */
function withoutGaps(name: string): string {
  if (name.startsWith(".") || name.includes("..")) {
    throw new AddressError(`${quote(name)} is not a host name: it has an empty label`);
  }
  return name;
}

/**
 * Checks a port.
 *
 * @throws AddressError unless it is a plain decimal from `least` (default 1) to 65535
 */
export function parsePort(text: string, least = 1): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : -1;
  if (port < least || port > 65535) {
    throw new AddressError(`${quote(text)} is not a port; expected ${least} to 65535`);
  }
  return port;
}

/**
 * Parses `name:port`, `1.2.3.4:port` or `[v6]:port`.
 *
 * @throws AddressError
 */
export function parseEndpoint(
  text: string,
  options: { defaultPort?: number; least?: number } = {},
): Endpoint {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(.*))?$/s.exec(text);
  if (match === null) {
    throw new AddressError(`${quote(text)} is not host:port (an IPv6 address stands in brackets)`);
  }
  const [, v6, name = "", port] = match;
  if (v6 !== undefined && ipVersion(v6) !== 6) {
    throw new AddressError(`${quote(v6)} is not an IPv6 address`);
  }
  if (port === undefined && options.defaultPort === undefined) {
    throw new AddressError(`${quote(text)} has no port; expected host:port`);
  }
  return {
    hostname: parseHostname(v6 ?? name),
    port: port === undefined ? options.defaultPort! : parsePort(port, options.least),
  };
}

/**
 * A target in the form in which it may go to a hop, whoever made it up: a program that dials has parsed nothing.
 *
 * @throws ProxyError
 */
export function checkTarget({ hostname, port }: Endpoint): Endpoint {
  try {
    return { hostname: parseHostname(hostname), port: parsePort(String(port)) };
  } catch (error) {
    throw new ProxyError((error as Error).message, { code: "address", side: "local", stage: "request" });
  }
}

/** What was wrong, short enough for a message, without what may be a password. */
function quote(whole: string): string {
  const text = whole.replace(/^.*@/s, "…@");
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** `host:port`, with an IPv6 address in brackets. */
export function formatEndpoint({ hostname, port }: Endpoint): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
