/**
 * Answers that still hold.
 *
 * @module
 */
import type { Answer } from "./message.ts";

/** The longest that an answer is believed, in seconds, whatever it says of itself. */
const longest = 3600;
const mostEntries = 10_000;

interface Entry {
  readonly answer: Promise<Answer>;
  /** Milliseconds of the clock; nothing while the answer is waited for. */
  until?: number;
}

/** Keeps answers for as long as they hold; who asks while one is waited for waits with the others. */
export class Cache {
  readonly #entries = new Map<string, Entry>();

  constructor(readonly now: () => number = () => performance.now()) {}

  /** What is known, or what `look` finds. A failure is not kept. */
  get(key: string, look: () => Promise<Answer>): Promise<Answer> {
    const known = this.#entries.get(key);
    if (known !== undefined && (known.until === undefined || known.until > this.now())) return known.answer;
    const entry: Entry = { answer: look() };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.answer.then(
      ({ ttl }) => entry.until = this.now() + Math.min(ttl, longest) * 1000,
      () => this.#entries.get(key) === entry && this.#entries.delete(key),
    );
    if (this.#entries.size > mostEntries) this.#entries.delete(this.#entries.keys().next().value!);
    return entry.answer;
  }
}
