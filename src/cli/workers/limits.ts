/**
 * The limits that a tunnel falls under, by keys.
 *
 * @module
 */
import type { ProxyError } from "../../core/errors.ts";
import { allTaken, clientHas, type Limits, userHas } from "../../places.ts";

/** The key of `limits.tunnels`. */
export const everybody = "all";

const [clients, users] = ["client ", "user "];

/** The keys of a tunnel's limits. */
export function keysOf(client: string, user: string | undefined): string[] {
  const keys = [everybody, clients + client];
  if (user !== undefined) keys.push(users + user);
  return keys;
}

/** The limit that a key stands for. */
export function limitOf(
  key: string,
  { tunnels, tunnelsPerClient, tunnelsPerUser = Infinity }: Limits,
): number {
  if (key === everybody) return tunnels;
  return key.startsWith(clients) ? tunnelsPerClient : tunnelsPerUser;
}

/** What a client is told where a limit is reached. */
export function refusal(key: string, client: string, limits: Limits): ProxyError {
  const limit = limitOf(key, limits);
  if (key === everybody) return allTaken(limit);
  return key.startsWith(clients) ? clientHas(client, limit) : userHas(limit);
}
