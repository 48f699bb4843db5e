/**
 * What the main thread and the worker share: a table of directions, and the messages about them.
 *
 * @module
 */

/** How many directions can be carried at once; more stay with the runtime. */
export const slots = 1024;

/** What one direction is made of: two sockets, and the pipe between them. Once offered, they are the worker's to close. */
export interface Descriptors {
  readonly from: number;
  readonly to: number;
  /** The pipe's end that is read. */
  readonly pipeOut: number;
  /** The pipe's end that is written. */
  readonly pipeIn: number;
}

/** What a slot is. The main thread offers, cancels and frees; the worker takes. */
export const state = { free: 0, offered: 1, taken: 2, cancelled: 3 } as const;

const cells = 5;
const meters = 2;

/** The table over its shared memory. */
export class Table {
  readonly #cells: Int32Array;
  readonly #meters: Float64Array;

  constructor(readonly memory = new SharedArrayBuffer(slots * (8 * meters + 4 * cells))) {
    this.#meters = new Float64Array(memory, 0, slots * meters);
    this.#cells = new Int32Array(memory, slots * 8 * meters);
  }

  state(slot: number): number {
    return Atomics.load(this.#cells, slot * cells);
  }

  /** Puts `to` in the place of `from`; `false` when it was something else. */
  change(slot: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.#cells, slot * cells, from, to) === from;
  }

  become(slot: number, state: number): void {
    Atomics.store(this.#cells, slot * cells, state);
  }

  descriptors(slot: number): Descriptors {
    const [from, to, pipeOut, pipeIn] = this.#cells.subarray(slot * cells + 1);
    return { from, to, pipeOut, pipeIn };
  }

  offer(slot: number, { from, to, pipeOut, pipeIn }: Descriptors): void {
    this.#cells.set([from, to, pipeOut, pipeIn], slot * cells + 1);
    this.meter(slot, 0, 0);
    this.become(slot, state.offered); // last: whoever sees it sees the rest
  }

  /** Bytes that have reached the sink. */
  moved(slot: number): number {
    return this.#meters[slot * meters];
  }

  /** When the last of them did, in milliseconds since 1970. */
  last(slot: number): number {
    return this.#meters[slot * meters + 1];
  }

  meter(slot: number, moved: number, last: number): void {
    this.#meters[slot * meters] = moved;
    this.#meters[slot * meters + 1] = last;
  }
}

/** What the worker is given. */
export interface Setup {
  readonly memory: SharedArrayBuffer;
  /** Where the main thread adds the sockets of what it offers. */
  readonly epoll: number;
  /** An eventfd in it: something in the table has changed. */
  readonly bell: number;
}

/** How a direction ended. Its descriptors are closed. */
export interface Ending {
  /** Bytes that were read and have not reached the sink. */
  readonly lost: number;
  /** Which end broke; neither when the source has ended, or the direction was cancelled. */
  readonly broken?: "source" | "sink";
  readonly errno?: number;
}

/** From the worker: it is ready, or a direction is over. */
export type Message = { readonly ready: true } | { readonly slot: number; readonly ending: Ending };

/** An event's data for a slot's source; its sink's is one more. */
export function sourceEvent(slot: number): number {
  return 2 * slot;
}

/** The data of the bell's events. */
export const bellEvent = 2 * slots;
