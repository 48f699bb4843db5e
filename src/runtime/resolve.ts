/**
 * Names by the operating system's resolver, `/etc/hosts` included.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import { localhost } from "../core/address.ts";
import type { Context } from "../core/conn.ts";
import { unlessAborted } from "../core/scope.ts";
import { lookupFailure } from "./failures.ts";

/** The addresses of one family; rejects when there are none, or when `ctx` aborts. */
export function resolve(hostname: string, family: 4 | 6, ctx: Context): Promise<string[]> {
  // The system's lookup can't be cancelled: its answer is left behind.
  return unlessAborted(addresses(hostname, family), ctx);
}

/** Lookups under way: the system's resolver has few threads, and many tunnels want the same name at once. */
const underWay = new Map<string, Promise<string[]>>();

function addresses(hostname: string, family: 4 | 6): Promise<string[]> {
  const here = localhost(hostname, family);
  if (here !== undefined) return Promise.resolve(here);
  const key = `${family} ${hostname}`;
  const found = underWay.get(key) ?? find(hostname, family).finally(() => underWay.delete(key));
  underWay.set(key, found);
  return found;
}

async function find(hostname: string, family: 4 | 6): Promise<string[]> {
  try {
    const all = await lookup(hostname, { all: true, family });
    return [...new Set(all.map(({ address }) => address))];
  } catch (error) {
    throw lookupFailure(error, hostname);
  }
}
