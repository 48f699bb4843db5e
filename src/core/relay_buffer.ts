/**
 * What one direction of a relay reads into.
 *
 * A read that waits keeps its buffer, and most tunnels wait most of the time. So a direction waits with a small buffer
 * of its own, and borrows a larger one as long as there is more to read than fits.
 *
 * @module
 */

const small = 1024;

/** Buffers that go from one direction to another. */
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

const medium = new Shelf(16 * 1024, 64);
const large = new Shelf(256 * 1024, 8);

/** Grows with a bulk flow, and is small again as soon as little comes. */
export class RelayBuffer {
  readonly #own = new Uint8Array(small);
  #shelf: Shelf | null = null;
  /** Where the next read goes. */
  bytes: Uint8Array = this.#own;

  /** What a read has brought. */
  filled(n: number): Uint8Array {
    return n === this.bytes.length ? this.bytes : this.bytes.subarray(0, n);
  }

  /** Chooses for the next read, by how much this one has brought and once that is used up. */
  adapt(n: number): void {
    if (this.#shelf === null) {
      if (n === small) this.#borrow(medium);
    } else if (n <= medium.size / 2) this.release();
    else if (this.#shelf === medium) this.#borrow(large);
  }

  /** Gives back what is borrowed. */
  release(): void {
    this.#shelf?.give(this.bytes);
    this.#shelf = null;
    this.bytes = this.#own;
  }

  #borrow(shelf: Shelf): void {
    this.release();
    this.#shelf = shelf;
    this.bytes = shelf.take();
  }
}
