/**
 * A worker's places: it uses its share of each limit unasked, and asks for more when that is used up.
 *
 * @module
 */
import type { Limits, Places } from "../../places.ts";
import { keysOf, limitOf, refusal } from "./limits.ts";

interface Share {
  used: number;
  /** How many wait for more. */
  waiting: number;
  /** How much may be used; absent for an equal share of the limit. */
  allowed?: number;
  /** More has been asked for. */
  asking?: Promise<boolean>;
}

/** Places of one of several workers. */
export class SharedPlaces implements Places {
  readonly #shares = new Map<string, Share>();
  #limits: Limits = { tunnels: 0, tunnelsPerClient: 0 };

  /** @param more asks for more of a limit; answers whether there was any */
  constructor(
    readonly workers: number,
    contested: readonly string[],
    readonly more: (key: string) => Promise<boolean>,
  ) {
    for (const key of contested) this.allow(key, 0);
  }

  limit(limits: Limits): void {
    this.#limits = limits;
    // Whoever uses more than its share now says so, and the others' are cut.
    for (const [key, share] of this.#shares) {
      if (share.allowed === undefined && share.used > this.#allowed(key, share)) void this.#ask(key, share);
    }
  }

  take(client: string, user?: string): void | Promise<void> {
    const keys = keysOf(client, user);
    if (!keys.every((key) => this.#hasRoom(key))) return this.#obtain(keys, client);
    for (const key of keys) this.#share(key).used++;
  }

  give(client: string, user?: string): void {
    for (const key of keysOf(client, user)) this.#release(key);
  }

  /** Gives back what is not used, and not about to be by those who have waited for it; answers what is kept. */
  recall(key: string): number {
    const share = this.#share(key);
    const { used, waiting } = share;
    return share.allowed = Math.max(used, Math.min(used + waiting, this.#allowed(key, share)));
  }

  allow(key: string, allowed: number): void {
    this.#share(key).allowed = allowed;
  }

  restore(key: string): void {
    const share = this.#share(key);
    share.allowed = undefined;
    this.#tidy(key, share);
  }

  /** Asks for what is missing, one limit after another. */
  async #obtain(keys: readonly string[], client: string): Promise<void> {
    for (const [index, key] of keys.entries()) {
      if (await this.#obtainOne(key)) continue;
      for (const obtained of keys.slice(0, index)) this.#release(obtained);
      throw refusal(key, client, this.#limits);
    }
  }

  async #obtainOne(key: string): Promise<boolean> {
    for (;;) {
      const share = this.#share(key);
      if (this.#hasRoom(key)) {
        share.used++;
        return true;
      }
      // What another has asked for is asked for all that wait.
      share.waiting++;
      const more = await this.#ask(key, share);
      share.waiting--;
      if (!more && !this.#hasRoom(key)) {
        this.#tidy(key, share);
        return false;
      }
    }
  }

  #ask(key: string, share: Share): Promise<boolean> {
    return share.asking ??= this.more(key).catch(() => false).finally(() => share.asking = undefined);
  }

  #hasRoom(key: string): boolean {
    const share = this.#shares.get(key);
    return (share?.used ?? 0) < this.#allowed(key, share);
  }

  #share(key: string): Share {
    let share = this.#shares.get(key);
    if (share === undefined) this.#shares.set(key, share = { used: 0, waiting: 0 });
    return share;
  }

  #allowed(key: string, share: Share | undefined): number {
    return share?.allowed ?? Math.floor(limitOf(key, this.#limits) / this.workers);
  }

  #release(key: string): void {
    const share = this.#share(key);
    share.used--;
    this.#tidy(key, share);
  }

  /** What is not worth remembering is forgotten. */
  #tidy(key: string, { used, waiting, allowed }: Share): void {
    if (used === 0 && waiting === 0 && allowed === undefined) this.#shares.delete(key);
  }
}
