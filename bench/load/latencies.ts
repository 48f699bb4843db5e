/**
 * How long things took.
 *
 * @module
 */

/** Percentiles in milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** Collects durations, at most so many of them that sorting them stays cheap. */
export class Latencies {
  readonly #all: number[] = [];

  add(milliseconds: number): void {
    if (this.#all.length < 2_000_000) this.#all.push(milliseconds);
  }

  percentiles(): Percentiles {
    const sorted = Float64Array.from(this.#all).sort();
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
    return { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
  }
}
