/**
 * Names by the operating system's resolver, `/etc/hosts` included.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import type { Context } from "../core/conn.ts";
import { lookupFailure } from "./failures.ts";

/** The addresses of one family; rejects when there are none, or when `ctx` aborts. */
export async function resolve(hostname: string, family: 4 | 6, { signal }: Context): Promise<string[]> {
  signal.throwIfAborted();
  let cancel = () => {};
  // The system's lookup can't be cancelled: its answer is left behind.
  const cancelled = new Promise<never>((_, reject) => {
    cancel = () => reject(signal.reason);
    signal.addEventListener("abort", cancel);
  });
  try {
    const found = await Promise.race([lookup(hostname, { all: true, family }), cancelled]);
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    throw signal.aborted ? signal.reason : lookupFailure(error, hostname);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}
