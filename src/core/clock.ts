/**
 * Time, which tests make up.
 *
 * @module
 */

/** What tells the time. */
export interface Clock {
  /** Milliseconds since some moment. */
  now(): number;
  /** Runs something later; the function that comes back prevents it. */
  after(ms: number, run: () => void): () => void;
}

/** The real one. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
