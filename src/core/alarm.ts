/**
 * Alarms: time limits by the thousand, most of which are cancelled before they go off.
 *
 * Those of one duration go off in the order in which they were set, so a list and one timer serve them all.
 *
 * @module
 */

/** What an alarm calls. */
export interface Sleeper {
  /** The time is up. */
  wake(): void;
}

/** The alarms of one duration, the next one first. */
class Row {
  first: Alarm | null = null;
  last: Alarm | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly ms: number) {}

  start(delay: number): void {
    this.#timer = setTimeout(this.#ring, delay);
  }

  stop(): void {
    clearTimeout(this.#timer);
    rows.delete(this.ms);
  }

  readonly #ring = () => {
    for (let first = this.first; first !== null; first = this.first) {
      const rest = first.due - performance.now();
      if (rest > 0) return this.start(rest);
      first.cancel();
      first.sleeper.wake();
    }
  };
}

const rows = new Map<number, Row>();

/** Wakes its sleeper once, after a time, unless it is cancelled. */
export class Alarm {
  readonly due: number;
  #row: Row | null;
  #previous: Alarm | null;
  #next: Alarm | null = null;

  constructor(ms: number, readonly sleeper: Sleeper) {
    this.due = performance.now() + ms;
    let row = rows.get(ms);
    if (row === undefined) {
      rows.set(ms, row = new Row(ms));
      row.start(ms);
    }
    this.#row = row;
    this.#previous = row.last;
    if (row.last === null) row.first = this;
    else row.last.#next = this;
    row.last = this;
  }

  /** Never goes off then; calling it again, or afterwards, does nothing. */
  cancel(): void {
    const row = this.#row;
    if (row === null) return;
    this.#row = null;
    if (this.#previous === null) row.first = this.#next;
    else this.#previous.#next = this.#next;
    if (this.#next === null) row.last = this.#previous;
    else this.#next.#previous = this.#previous;
    this.#previous = this.#next = null;
    if (row.first === null) row.stop();
  }
}
