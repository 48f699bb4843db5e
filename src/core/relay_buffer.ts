/**
 * What one direction of a relay reads into.
 *
 * A read that waits keeps its buffer, and most tunnels wait most of the time. So a direction waits with a small buffer
 * of its own, and borrows a large one only as long as reads fill what they are given.
 *
 * @module
 */

/** Buffers of one size that wait to be borrowed again, so many at most. */
class Shelf {
  readonly #free: Uint8Array[] = [];

  constructor(readonly size: number, readonly most: number) {}

  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(this.size);
  }

  give(buffer: Uint8Array): void {
    if (this.#free.length < this.most) this.#free.push(buffer);
  }
}

const nothing = new Uint8Array(0);
const small = new Shelf(1024, 256);
const large = new Shelf(256 * 1024, 64);

/** Grows with a bulk flow, and is small again as soon as a read finds less than fits. */
export class RelayBuffer {
  #own = small.take();
  /** Where the next read goes. */
  bytes: Uint8Array = this.#own;

  constructor(
    /** What it grows to. */
    readonly grown = large.size,
  ) {}

  /** What a read has brought. */
  filled(n: number): Uint8Array {
    return n === this.bytes.length ? this.bytes : this.bytes.subarray(0, n);
  }

  /** Chooses for the next read, by how much this one has brought and once that is used up. */
  adapt(n: number): void {
    if (n < this.bytes.length) this.release();
    else if (this.bytes === this.#own) this.bytes = this.#borrow();
  }

  /** Gives back what is borrowed. */
  release(): void {
    if (this.bytes === this.#own) return;
    if (this.grown === large.size) large.give(this.bytes);
    this.bytes = this.#own;
  }

  /** Gives back everything: there is nothing more to read. */
  end(): void {
    this.release();
    if (this.#own !== nothing) small.give(this.#own);
    this.bytes = this.#own = nothing;
  }

  #borrow(): Uint8Array {
    return this.grown === large.size ? large.take() : new Uint8Array(this.grown);
  }
}
