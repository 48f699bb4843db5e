/**
 * A token bucket: so many bytes a second for all who share it, in the order in which they ask.
 *
 * What is granted from any moment on is at most `rate` times the time that has passed, and {@linkcode TokenBucket.most}.
 *
 * @module
 */
import { type Clock, systemClock } from "./clock.ts";

/** Who takes from buckets. */
export interface Taker {
  /** How many bytes it wants, at most a bucket's {@linkcode TokenBucket.piece}. */
  readonly wanted: number;
  /** It has waited, and has got them. */
  granted(): void;
}

/** How much may go at once after a rest, in milliseconds of the rate. */
const rest = 50;
/** How late a timer may come without a loss for those who wait, in milliseconds. */
const late = 250;
/** What one taker gets at a time, in milliseconds of the rate, and within these bounds in bytes. */
const turn = 20;
const [leastPiece, mostPiece] = [1024, 16 * 1024];

/** One bucket. */
export class TokenBucket {
  /** The most that may be taken at once, so that nobody holds up the others. */
  readonly piece: number;
  /** What is there after a rest. */
  readonly burst: number;
  /** The most that can ever be there. */
  readonly most: number;
  readonly #waiting = new Set<Taker>();
  #tokens: number;
  #filled: number;
  #cancel: (() => void) | undefined;

  constructor(
    /** Bytes a second. */
    readonly rate: number,
    readonly clock: Clock = systemClock,
  ) {
    this.piece = Math.min(Math.max(Math.floor(this.#earned(turn)), leastPiece), mostPiece);
    this.burst = Math.max(this.#earned(rest), this.piece);
    this.most = this.burst + this.#earned(late);
    this.#tokens = this.burst;
    this.#filled = clock.now();
  }

  /** Takes what is wanted; `false` when it is not there yet, and then the taker waits until it is told. */
  take(taker: Taker): boolean {
    this.#fill();
    if (this.#waiting.size === 0 && taker.wanted <= this.#tokens) {
      this.#tokens -= taker.wanted;
      return true;
    }
    this.#waiting.add(taker);
    if (this.#cancel === undefined) this.#wait();
    return false;
  }

  /** Waits no longer. */
  leave(taker: Taker): void {
    this.#waiting.delete(taker);
    if (this.#waiting.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Sets the timer for whoever is first. */
  #wait(): void {
    const [{ wanted }] = this.#waiting;
    const ms = Math.ceil((wanted - this.#tokens) * 1000 / this.rate);
    this.#cancel = this.clock.after(ms, () => this.#grant());
  }

  #grant(): void {
    this.#cancel = undefined;
    this.#fill();
    const granted: Taker[] = [];
    for (const taker of this.#waiting) {
      if (taker.wanted > this.#tokens) break;
      this.#tokens -= taker.wanted;
      this.#waiting.delete(taker);
      granted.push(taker);
    }
    if (this.#waiting.size > 0) this.#wait();
    // They may come again at once, behind all others.
    for (const taker of granted) taker.granted();
  }

  #fill(): void {
    const now = this.clock.now();
    const earned = this.#earned(now - this.#filled);
    this.#filled = now;
    if (this.#waiting.size > 0) this.#tokens = Math.min(this.#tokens + earned, this.most);
    // What a late timer has left is for those who had waited for it, and come again at once.
    else if (earned > this.burst) this.#tokens = this.burst;
    else this.#tokens = Math.max(this.#tokens, Math.min(this.#tokens + earned, this.burst));
  }

  #earned(ms: number): number {
    return this.rate * ms / 1000;
  }
}
