/**
 * Addresses that are nobody's on the Internet: the special-purpose registries of IANA (RFC 6890), and the IPv6 forms
 * that stand for an IPv4 address.
 *
 * @module
 */
import { parseCidr } from "../core/cidr.ts";
import { type Block, blockOf, inBlock } from "./pattern.ts";

const blocks = (kinds: Record<string, readonly string[]>): readonly (readonly [string, Block])[] =>
  Object.entries(kinds).flatMap(([kind, cidrs]) =>
    cidrs.map((cidr) => [kind, blockOf(parseCidr(cidr))] as const)
  );

const ipv4 = blocks({
  "an unspecified": ["0.0.0.0/8"],
  "a loopback": ["127.0.0.0/8"],
  "a private": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"],
  "a shared": ["100.64.0.0/10"],
  "a link-local": ["169.254.0.0/16"],
  "a multicast": ["224.0.0.0/4"],
  "a special-use": [
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
  ],
});

const ipv6 = blocks({
  "an unspecified": ["::/128"],
  "a loopback": ["::1/128"],
  "a unique-local": ["fc00::/7"],
  "a link-local": ["fe80::/10"],
  "a multicast": ["ff00::/8"],
  // Teredo, benchmarks, ORCHID and others; documentation.
  "a special-use": ["2001::/23", "2001:db8::/32", "3fff::/20"],
});

const [nat64, sixToFour, global] = ["64:ff9b::/96", "2002::/16", "2000::/3"].map((cidr) =>
  blockOf(parseCidr(cidr))
);

/** What kind of address it is, with its article, unless it is one of the Internet. */
export function specialUse(address: Uint8Array): string | undefined {
  if (address.length === 4) return kindIn(ipv4, address);
  const kind = kindIn(ipv6, address);
  if (kind !== undefined) return kind;
  // What is not global unicast (RFC 4291 section 2.4) has nobody to answer: site-local, IPv4-compatible, local NAT64.
  if (inBlock(nat64, address)) return specialUse(address.subarray(12));
  if (!inBlock(global, address)) return "a special-use";
  if (inBlock(sixToFour, address)) return specialUse(address.subarray(2, 6));
  // ISATAP (RFC 5214) in whatever network: 0:5efe or 200:5efe, then the IPv4 address.
  const isatap = (address[8] & 0xfd) === 0 && address[9] === 0 && address[10] === 0x5e &&
    address[11] === 0xfe;
  return isatap ? specialUse(address.subarray(12)) : undefined;
}

function kindIn(blocks: readonly (readonly [string, Block])[], address: Uint8Array): string | undefined {
  return blocks.find(([, block]) => inBlock(block, address))?.[0];
}
