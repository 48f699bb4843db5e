/**
 * Names by the operating system's resolver, `/etc/hosts` included.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import { isLocalhost } from "../core/address.ts";
import type { Context } from "../core/conn.ts";
import { Scope } from "../core/scope.ts";
import { lookupFailure } from "./failures.ts";

/** The addresses of one family; rejects when there are none, or when `ctx` aborts. */
export async function resolve(hostname: string, family: 4 | 6, ctx: Context): Promise<string[]> {
  // The system's lookup can't be cancelled: its answer is left behind.
  const { promise: cancelled, reject } = Promise.withResolvers<never>();
  const scope = new Scope(ctx, { abort: reject });
  try {
    return await Promise.race([addresses(hostname, family), cancelled]);
  } catch (error) {
    throw scope.aborted ? scope.reason : lookupFailure(error, hostname);
  } finally {
    scope.leave();
  }
}

/** Lookups under way: the system's resolver has few threads, and many tunnels want the same name at once. */
const underWay = new Map<string, Promise<string[]>>();

function addresses(hostname: string, family: 4 | 6): Promise<string[]> {
  // This name never leaves the machine (RFC 6761 section 6.3).
  if (isLocalhost(hostname)) return Promise.resolve([family === 4 ? "127.0.0.1" : "::1"]);
  const key = `${family} ${hostname}`;
  const found = underWay.get(key) ?? lookup(hostname, { all: true, family })
    .then((all) => [...new Set(all.map(({ address }) => address))])
    .finally(() => underWay.delete(key));
  underWay.set(key, found);
  return found;
}
