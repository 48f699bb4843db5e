/**
 * Turns a source that pushes chunks into one that is read: for sockets and streams with callbacks.
 *
 * @module
 */

/** How the source is told to hold back and to go on. */
export interface Valve {
  pause(): void;
  resume(): void;
}

interface Waiting {
  /** Where to put what comes; `null` for whoever takes whole chunks. */
  readonly p: Uint8Array | null;
  resolve(result: number | Uint8Array | null): void;
  reject(error: unknown): void;
}

const highWater = 64 * 1024;

/** Chunks that have been pushed and not yet read. One reader at a time. */
export class Inbox {
  #chunks: Uint8Array[] = [];
  #size = 0;
  #paused = false;
  #ended = false;
  #error: unknown = undefined;
  #waiting: Waiting | null = null;

  constructor(readonly valve: Valve) {}

  /** How many bytes are stored. */
  get stored(): number {
    return this.#size;
  }

  /** The end has come, behind what is stored. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The error that has come, behind what is stored. */
  get error(): unknown {
    return this.#error;
  }

  /** Takes the oldest stored chunk whole; there must be one. */
  takeStored(): Uint8Array {
    const chunk = this.#chunks.shift()!;
    this.#size -= chunk.length;
    return chunk;
  }

  /** Lets the source go on, whatever is stored. */
  open(): void {
    if (this.#paused) this.#release();
  }

  /** Takes a chunk; one that is only valid during this call must say so with `borrowed`. */
  deliver(chunk: Uint8Array, borrowed = true): void {
    if (this.#waiting !== null && chunk.length > 0) {
      const { p, resolve } = this.#waiting;
      this.#waiting = null;
      if (p === null) return resolve(borrowed ? chunk.slice() : chunk);
      const n = Math.min(p.length, chunk.length);
      p.set(n === chunk.length ? chunk : chunk.subarray(0, n));
      resolve(n);
      if (n === chunk.length) return;
      chunk = chunk.subarray(n);
    }
    if (chunk.length === 0) return;
    this.#chunks.push(borrowed ? chunk.slice() : chunk);
    this.#size += chunk.length;
    if (!this.#paused && this.#size >= highWater) {
      this.#paused = true;
      this.valve.pause();
    }
  }

  end(): void {
    if (this.#error !== undefined) return;
    this.#ended = true;
    this.#settle((waiting) => waiting.resolve(null));
  }

  /** After what is stored, reading fails with `error`. The first end or error stands. */
  fail(error: unknown): void {
    if (this.#ended || this.#error !== undefined) return;
    this.#error = error;
    this.#settle((waiting) => waiting.reject(error));
  }

  read(p: Uint8Array): Promise<number | null> {
    const chunk = this.#chunks[0];
    if (chunk !== undefined) return Promise.resolve(this.#take(chunk, p));
    return this.#wait<number>(p);
  }

  /** Reads a whole chunk, as it came. */
  readChunk(): Promise<Uint8Array | null> {
    if (this.#chunks.length === 0) return this.#wait<Uint8Array>(null);
    const chunk = this.takeStored();
    if (this.#size === 0) this.open();
    return Promise.resolve(chunk);
  }

  #wait<T extends number | Uint8Array>(p: Uint8Array | null): Promise<T | null> {
    if (this.#ended) return Promise.resolve(null);
    if (this.#error !== undefined) return Promise.reject(this.#error);
    this.open();
    return new Promise((resolve, reject) =>
      this.#waiting = { p, resolve: resolve as Waiting["resolve"], reject }
    );
  }

  #take(chunk: Uint8Array, p: Uint8Array): number {
    const n = Math.min(p.length, chunk.length);
    p.set(chunk.subarray(0, n));
    if (n === chunk.length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(n);
    this.#size -= n;
    if (this.#size === 0) this.open();
    return n;
  }

  #release(): void {
    this.#paused = false;
    this.valve.resume();
  }

  #settle(answer: (waiting: Waiting) => void): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting !== null) answer(waiting);
  }
}
