/**
 * How many tunnels there may be at a time.
 *
 * @module
 */
import { ProxyError } from "./core/errors.ts";

/** What a configuration limits. */
export interface Limits {
  /** Tunnels at a time. */
  readonly tunnels: number;
  /** Tunnels at a time from one client address. */
  readonly tunnelsPerClient: number;
  /** Tunnels at a time of one user. */
  readonly tunnelsPerUser?: number;
}

/** Places for tunnels. */
export interface Places {
  /** Takes up other limits; what has a place keeps it. */
  limit(limits: Limits): void;
  /**
   * Takes a place for a tunnel of a client, and of the user that has logged in: at once where that can be told at once.
   *
   * @throws ProxyError when there is none, or rejects with it
   */
  take(client: string, user?: string): void | Promise<void>;
  /** Gives it back. */
  give(client: string, user?: string): void;
}

/** The places of a server that shares them with nobody. */
export class OwnPlaces implements Places {
  readonly #clients = new Tally();
  readonly #users = new Tally();
  #limits: Limits = { tunnels: 0, tunnelsPerClient: 0 };
  #taken = 0;

  limit(limits: Limits): void {
    this.#limits = limits;
  }

  take(client: string, user?: string): void {
    const { tunnels, tunnelsPerClient, tunnelsPerUser = Infinity } = this.#limits;
    const ofClient = this.#clients.of(client);
    const ofUser = user === undefined ? 0 : this.#users.of(user);
    if (this.#taken >= tunnels) throw allTaken(tunnels);
    if (ofClient >= tunnelsPerClient) throw clientHas(client, ofClient);
    if (ofUser >= tunnelsPerUser) throw userHas(ofUser);
    this.#taken++;
    this.#clients.add(client, 1);
    if (user !== undefined) this.#users.add(user, 1);
  }

  give(client: string, user?: string): void {
    this.#taken--;
    this.#clients.add(client, -1);
    if (user !== undefined) this.#users.add(user, -1);
  }
}

/** How many connections that are no tunnels a client may have besides as many as tunnels: to be told that it has all. */
const besides = 100;

/** The connections that are no tunnels, or not yet: one client can't have all that a process may hold. */
export class Arrivals {
  readonly #clients = new Tally();

  /** @throws ProxyError when the client has too many of them */
  add(client: string, { tunnelsPerClient }: Limits): void {
    const most = tunnelsPerClient + besides;
    if (this.#clients.of(client) >= most) {
      throw refused(`${client} has ${most} connections that are no tunnels (limits.tunnelsPerClient)`);
    }
    this.#clients.add(client, 1);
  }

  /** One of them has become a tunnel, or is over. */
  remove(client: string): void {
    this.#clients.add(client, -1);
  }
}

/** Counts by name; what is at zero takes no memory. */
class Tally {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, n: 1 | -1): void {
    const count = this.of(name) + n;
    if (count === 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
  }
}

/** The refusal where `limits.tunnels` is reached. */
export function allTaken(tunnels: number): ProxyError {
  return refused(`all ${tunnels} tunnels are taken (limits.tunnels)`);
}

/** The refusal where a client has reached `limits.tunnelsPerClient`. */
export function clientHas(client: string, tunnels: number): ProxyError {
  return refused(`${client} has ${tunnels} tunnels already (limits.tunnelsPerClient)`);
}

/** The refusal where a user has reached `limits.tunnelsPerUser`. */
export function userHas(tunnels: number): ProxyError {
  return refused(`this user has ${tunnels} tunnels already (limits.tunnelsPerUser)`);
}

/** A refusal by Hopline itself, for want of something. */
export function refused(message: string): ProxyError {
  return new ProxyError(message, {
    code: "limit",
    side: "local",
    stage: "request",
    hop: 0,
    label: "hopline",
  });
}
