/**
 * How much trouble a peer may make on an HTTP/2 connection: cheap frames that cause work, or none that leads anywhere,
 * are paid for from a budget that fills up again with time (CVE-2023-44487, CVE-2019-9512 to 9518, CVE-2025-8671).
 *
 * @module
 */
import { Code, ConnectionError } from "./h2_frames.ts";

const capacity = 1000;
const perSecond = 100;

/** What each kind of trouble costs. */
export const Cost = {
  /** A frame that the protocol has room for but that moves nothing: PING, SETTINGS, PRIORITY, an empty DATA. */
  idleFrame: 1,
  /** A stream that was reset while it ran. */
  reset: 1,
  /** A stream that was reset before it was answered, or broke the rules: the work for it was in vain. */
  vainStream: 5,
} as const;

/** One peer's budget. */
export class Budget {
  #left = capacity;
  #last = performance.now();

  /** Pays. @throws ConnectionError when nothing is left */
  spend(cost: number, what: string): void {
    this.#left -= cost;
    if (this.#left >= 0) return;
    const now = performance.now();
    this.#left = Math.min(capacity, this.#left + (now - this.#last) / 1000 * perSecond);
    this.#last = now;
    if (this.#left < 0) throw new ConnectionError(Code.ENHANCE_YOUR_CALM, `too much of this: ${what}`);
  }

  /** Something useful has happened: data went through. */
  earn(amount: number): void {
    this.#left = Math.min(capacity, this.#left + amount);
  }
}
