/**
 * Time and chance as a test says.
 *
 * @module
 */
import type { Clock } from "../../src/routing/health.ts";

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now = 0;
  /** What chance says next; from then on `otherwise`. */
  readonly chances: number[] = [];

  constructor(readonly otherwise = 0.5) {}

  /** How many timers are set. */
  get waiting(): number {
    return this.#timers.size;
  }

  readonly now = (): number => this.#now;

  readonly random = (): number => this.chances.shift() ?? this.otherwise;

  readonly after = (ms: number, run: () => void): () => void => {
    const timer = { at: this.#now + ms, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  /** Lets time pass: what falls due runs in its order, and what follows from it at once. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    do await microtasks(); while (this.#runNext(end));
    this.#now = end;
    await microtasks();
  }

  /** The same for what waits for no promise. */
  skip(ms: number): void {
    const end = this.#now + ms;
    while (this.#runNext(end));
    this.#now = end;
  }

  #runNext(end: number): boolean {
    const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
    if (next === undefined) return false;
    this.#now = next.at;
    this.#timers.delete(next);
    next.run();
    return true;
  }
}

/** Lets everything happen that waits for nothing. */
export async function microtasks(): Promise<void> {
  for (let i = 0; i < 50; i++) await null;
}
