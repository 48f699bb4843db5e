/**
 * Who may use how much of each limit. Every worker has an equal share and does not ask; from the first one that asks
 * for more, the limit is contested, and is handed out in portions: first what nobody has, then what the workers give
 * back because they do not use it. So what all of them use is never more than the limit, and none is refused what
 * another leaves unused.
 *
 * @module
 */
import type { Limits } from "../../places.ts";
import { everybody, limitOf } from "./limits.ts";

/** How the workers are reached, by their seats from 0. */
export interface Seats {
  readonly count: number;
  /** What a worker keeps of a limit when it gives back what it does not use; 0 for one that is gone. */
  recall(seat: number, key: string): Promise<number>;
  allow(seat: number, key: string, share: number): void;
  restore(seat: number, key: string): void;
}

/** A limit that is contested. */
interface Account {
  /** What each worker may use; empty before they have been asked. */
  shares: number[];
  /** Done with what was asked so far: one thing at a time. */
  turn: Promise<unknown>;
}

/** When clients that have calmed down are forgotten. */
const restoreMs = 30_000;

/** The limits of a service. */
export class Ledger {
  readonly #accounts = new Map<string, Account>();
  #limits: Limits;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(limits: Limits, readonly seats: Seats) {
    this.#limits = limits;
  }

  /** The limits of which a worker that joins has nothing. */
  get contested(): string[] {
    return [...this.#accounts.keys()];
  }

  /** Takes up other limits; resolves when nobody goes by the old ones, except by an equal share of them. */
  async limit(limits: Limits): Promise<void> {
    this.#limits = limits;
    const accounts = [...this.#accounts];
    await Promise.all(
      accounts.map(([key, account]) => this.#inTurn(account, () => this.#collect(key, account))),
    );
  }

  /** A worker is gone, and its tunnels with it. */
  left(seat: number): void {
    for (const { shares } of this.#accounts.values()) if (shares.length > 0) shares[seat] = 0;
  }

  /** A worker asks for more; answers whether there was any. */
  more(seat: number, key: string): Promise<boolean> {
    const account = this.#accounts.get(key) ?? this.#open(key);
    return this.#inTurn(account, () => {
      // It was closed in the meantime.
      if (this.#accounts.get(key) !== account) return this.more(seat, key);
      return this.#grant(seat, key, account);
    });
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  async #grant(seat: number, key: string, account: Account): Promise<boolean> {
    if (this.#free(key, account) <= 0) await this.#collect(key, account);
    const free = this.#free(key, account);
    if (free <= 0) return false;
    account.shares[seat] += Math.ceil(free / (2 * this.seats.count));
    this.seats.allow(seat, key, account.shares[seat]);
    return true;
  }

  /** What nobody has, as far as is known. */
  #free(key: string, { shares }: Account): number {
    if (shares.length === 0) return 0;
    return limitOf(key, this.#limits) - shares.reduce((sum, share) => sum + share, 0);
  }

  async #collect(key: string, account: Account): Promise<void> {
    const seats = Array.from({ length: this.seats.count }, (_, seat) => seat);
    account.shares = await Promise.all(seats.map((seat) => this.seats.recall(seat, key)));
    if (this.#free(key, account) >= 0) return;
    // More is in use than there is since the limit was lowered: what becomes free stays so until somebody asks.
    for (const seat of seats) this.seats.allow(seat, key, 0);
    account.shares = [];
  }

  #open(key: string): Account {
    const account = { shares: [], turn: Promise.resolve() };
    this.#accounts.set(key, account);
    this.#timer ??= setTimeout(() => this.#restore(), restoreMs);
    return account;
  }

  /** Clients without a tunnel are contested no more. */
  #restore(): void {
    this.#timer = undefined;
    for (const [key, account] of this.#accounts) {
      if (key !== everybody) void this.#inTurn(account, () => this.#close(key, account));
    }
    if (this.#accounts.size > 0) this.#timer = setTimeout(() => this.#restore(), restoreMs);
  }

  async #close(key: string, account: Account): Promise<void> {
    if (this.#accounts.get(key) !== account) return;
    await this.#collect(key, account);
    if (account.shares.length === 0 || account.shares.some((share) => share > 0)) return;
    this.#accounts.delete(key);
    for (let seat = 0; seat < this.seats.count; seat++) this.seats.restore(seat, key);
  }

  #inTurn<T>(account: Account, act: () => Promise<T>): Promise<T> {
    const done = account.turn.then(act);
    account.turn = done.catch(() => {});
    return done;
  }
}
