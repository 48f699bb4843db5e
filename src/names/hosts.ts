/**
 * Names whose addresses the configuration says itself, as /etc/hosts does.
 *
 * @module
 */
import { foldName, ipVersion } from "../core/address.ts";

/** Addresses by name, in lower case; `*.` stands for one label or more. */
export type Hosts = ReadonlyMap<string, readonly string[]>;

/** The addresses of one family; nothing when the name is not listed at all. */
export function listed(hosts: Hosts, hostname: string, family: 4 | 6): string[] | undefined {
  return find(hosts, hostname)?.filter((address) => ipVersion(address) === family);
}

/** The name itself comes first, then the longest of those that stand for it. */
function find(hosts: Hosts, hostname: string): readonly string[] | undefined {
  const name = foldName(hostname);
  const exact = hosts.get(name);
  if (exact !== undefined) return exact;
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
    const below = hosts.get(`*${name.slice(dot)}`);
    if (below !== undefined) return below;
  }
}
