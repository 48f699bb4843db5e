/**
 * Blocks of addresses, as `10.0.0.0/8`.
 *
 * @module
 */
import ipaddr from "ipaddr.js";
import { AddressError, ipVersion } from "./address.ts";

/** A block of addresses of one family. */
export interface Cidr {
  /** Any address of the block. */
  readonly address: string;
  /** How many leading bits of it count. */
  readonly prefix: number;
}

/**
 * Parses `10.0.0.0/8` or `2001:db8::/32`; an address by itself is a block of one.
 *
 * @throws AddressError
 */
export function parseCidr(text: string): Cidr {
  const [, address = "", bits] = /^([^/]*)(?:\/([0-9]{1,3}))?$/.exec(text) ?? [];
  const version = ipVersion(address);
  const width = version === 4 ? 32 : 128;
  const prefix = bits === undefined ? width : Number(bits);
  if (version === 0 || prefix > width) {
    throw new AddressError(
      `${JSON.stringify(text.slice(0, 80))} is no block of addresses such as 10.0.0.0/8`,
    );
  }
  return { address, prefix };
}

/** Whether an address literal is in the block; an IPv4-mapped address counts as the IPv4 address that it is. */
export function cidrContains({ address, prefix }: Cidr, hostname: string): boolean {
  if (ipVersion(hostname) === 0) return false;
  const [block, one] = [ipaddr.parse(address), ipaddr.process(hostname)];
  return block.kind() === one.kind() && one.match(block, prefix);
}
