/**
 * What one direction of a relay reads into.
 *
 * A read that waits keeps its buffer, and most tunnels wait most of the time. So a direction waits with a small buffer
 * of its own, and borrows a large one only as long as reads fill what they are given.
 *
 * @module
 */

const small = 1024;
const large = 256 * 1024;
/** Large buffers that wait to be borrowed again, at most. */
const most = 64;
const shelf: Uint8Array[] = [];

/** Grows with a bulk flow, and is small again as soon as a read finds less than fits. */
export class RelayBuffer {
  readonly #own = new Uint8Array(small);
  /** Where the next read goes. */
  bytes: Uint8Array = this.#own;

  constructor(
    /** What it grows to. */
    readonly grown = large,
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
    if (this.grown === large && shelf.length < most) shelf.push(this.bytes);
    this.bytes = this.#own;
  }

  #borrow(): Uint8Array {
    return (this.grown === large ? shelf.pop() : undefined) ?? new Uint8Array(this.grown);
  }
}
