/**
 * What targets are compared with: a name, `*.` and a name, an address, a block of addresses, or `*`, each of them
 * with ports or for all.
 *
 * @module
 */
import {
  AddressError,
  foldName,
  ipBytes,
  ipFromBytes,
  literalBytes,
  parseHostname,
  parsePort,
} from "../core/address.ts";
import { type Cidr, parseCidr } from "../core/cidr.ts";
import type { Endpoint } from "../core/conn.ts";

/** Targets, as a configuration names them. */
export interface Pattern {
  readonly host: HostPattern;
  /** The first and the last port; absent for all. */
  readonly ports?: readonly [number, number];
}

/** Hosts: one name, all names below one, the addresses of a block, or all. */
export type HostPattern =
  | { readonly name: string }
  | { readonly below: string }
  | { readonly block: Block }
  | "any";

/** A block of addresses, as the leading bits that its addresses have in common. */
export interface Block {
  /** 4 bytes or 16; an IPv4-mapped block is of IPv4. */
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/**
 * Parses `example.com`, `*.example.com`, `10.0.0.0/8`, `2001:db8::/32` or `*`, with `:port` or `:from-to` behind it;
 * with a port, IPv6 stands in brackets.
 *
 * @throws AddressError
 */
export function parsePattern(text: string): Pattern {
  const [, v6, host = "", range] = hostAndPorts.exec(text) ?? bareIPv6.exec(text) ?? [];
  if (host.includes("*") || v6 === undefined && host === "") {
    return { ...parseNames(text, host), ...ports(range) };
  }
  const block = parseBlock(v6 ?? host);
  if (block !== undefined) return { host: { block }, ...ports(range) };
  if (v6 !== undefined) throw new AddressError(`${quote(v6)} is not an IPv6 address or a block of them`);
  return { host: { name: parseName(host) }, ...ports(range) };
}

const hostAndPorts = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::([^:]*))?$/s;
const bareIPv6 = /^([0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*(?:\/.*)?)$/is;

/** `*`, or `*.` and a name. */
function parseNames(text: string, host: string): Pick<Pattern, "host"> {
  if (host === "*") return { host: "any" };
  if (host.startsWith("*.") && !host.includes("*", 1)) return { host: { below: parseName(host.slice(2)) } };
  throw new AddressError(`expected ${expected}, found ${quote(text)}`);
}

const expected = "a name, *.name, an address, a block such as 10.0.0.0/8 or *, with :port or without";

function parseName(text: string): string {
  const name = foldName(parseHostname(text));
  if (name === "") throw new AddressError(`expected ${expected}, found ${quote(text)}`);
  return name;
}

/** An address or a block of them; nothing for a name. */
function parseBlock(text: string): Block | undefined {
  if (text.includes("/")) return blockOf(parseCidr(text));
  const bytes = literalBytes(text);
  return bytes && { bytes, bits: bytes.length * 8 };
}

/** The block of a CIDR, with the bits cleared that do not count. */
export function blockOf({ address, prefix }: Cidr): Block {
  const whole = ipBytes(address);
  const mapped = whole.length === 16 && prefix >= 96 && literalBytes(address)!.length === 4;
  const [bytes, bits] = mapped ? [whole.slice(12), prefix - 96] : [whole, prefix];
  return { bytes: bytes.map((byte, index) => byte & mask(bits - 8 * index)), bits };
}

function mask(bits: number): number {
  return bits <= 0 ? 0 : bits >= 8 ? 0xff : 0xff << (8 - bits) & 0xff;
}

/** Whether an address is in the block. */
export function inBlock({ bytes, bits }: Block, address: Uint8Array): boolean {
  if (address.length !== bytes.length) return false;
  for (let at = 0; at * 8 < bits; at++) {
    if (bytes[at] !== (address[at] & mask(bits - 8 * at))) return false;
  }
  return true;
}

function ports(range: string | undefined): Pick<Pattern, "ports"> {
  if (range === undefined) return {};
  const [from, to = from, ...rest] = range.split("-");
  if (rest.length > 0) {
    throw new AddressError(`expected a port, or two as in 8000-8999, found ${quote(range)}`);
  }
  const [first, last] = [parsePort(from), parsePort(to)];
  if (first > last) throw new AddressError(`expected the lower port first, found ${quote(range)}`);
  return { ports: [first, last] };
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 59)}…` : text);
}

/** A pattern as it is written. */
export function formatPattern({ host, ports }: Pattern): string {
  const range = ports === undefined ? "" : ports[0] === ports[1] ? `:${ports[0]}` : `:${ports.join("-")}`;
  if (host === "any") return `*${range}`;
  if ("name" in host) return host.name + range;
  if ("below" in host) return `*.${host.below}${range}`;
  const { bytes, bits } = host.block;
  const text = ipFromBytes(bytes) + (bits === bytes.length * 8 ? "" : `/${bits}`);
  return range !== "" && bytes.length === 16 ? `[${text}]${range}` : text + range;
}

/** A target as it is compared: its name, or its address in whatever spelling; a name may have addresses, too. */
export interface Place {
  readonly name?: string;
  readonly address?: Uint8Array;
  readonly port: number;
}

/** A target as patterns see it. */
export function placeOf({ hostname, port }: Endpoint): Place {
  const address = literalBytes(hostname);
  return address === undefined ? { name: foldName(hostname), port } : { address, port };
}

/** Whether a target is among those of the pattern. A name is in no block: it is not looked up for this. */
export function matchesPattern({ host, ports }: Pattern, { name, address, port }: Place): boolean {
  if (ports !== undefined && (port < ports[0] || port > ports[1])) return false;
  if (host === "any") return true;
  if ("block" in host) return address !== undefined && inBlock(host.block, address);
  if (name === undefined) return false;
  return "name" in host
    ? name === host.name
    : name.endsWith(`.${host.below}`) && name.length > host.below.length + 1;
}
