/**
 * Connections that are kept to a bandwidth, which they may share with others.
 *
 * @module
 */
import { type Clock, systemClock } from "./clock.ts";
import type { Conn, Endpoint } from "./conn.ts";
import type { Meter } from "./relay.ts";
import { type Taker, TokenBucket } from "./token_bucket.ts";

/** How fast bytes may go, in each direction. */
export class Bandwidth {
  readonly up: TokenBucket;
  readonly down: TokenBucket;

  constructor(
    /** Bytes a second. */
    readonly rate: number,
    clock: Clock = systemClock,
  ) {
    this.up = new TokenBucket(rate, clock);
    this.down = new TokenBucket(rate, clock);
  }
}

/** A connection to a target, within every one of some bandwidths: what is written goes up, what is read comes down. */
export class ThrottledConn implements Conn {
  readonly #up: Lane;
  readonly #down: Lane;

  constructor(readonly inner: Conn, bandwidths: readonly Bandwidth[]) {
    this.#up = new Lane(bandwidths.map(({ up }) => up));
    this.#down = new Lane(bandwidths.map(({ down }) => down));
  }

  /** A flow that waits for its turn is not idle. */
  readonly meter: Meter = (flow) => {
    flow.last = Math.max(flow.last, this.#up.last, this.#down.last);
  };

  get localAddr(): Endpoint | null {
    return this.inner.localAddr;
  }

  get remoteAddr(): Endpoint | null {
    return this.inner.remoteAddr;
  }

  async read(p: Uint8Array): Promise<number | null> {
    const n = await this.inner.read(p.subarray(0, this.#down.piece));
    if (n !== null) await this.#down.pass(n);
    return n;
  }

  async write(p: Uint8Array): Promise<void> {
    for (let at = 0; at < p.length;) {
      const piece = p.subarray(at, at + this.#up.piece);
      await this.#up.pass(piece.length);
      await this.inner.write(piece);
      at += piece.length;
    }
  }

  closeWrite(): Promise<void> {
    return this.inner.closeWrite();
  }

  close(): void {
    this.#leave();
    this.inner.close();
  }

  abort(): void {
    this.#leave();
    this.inner.abort();
  }

  #leave(): void {
    this.#up.leave();
    this.#down.leave();
  }
}

/** One direction. */
class Lane implements Taker {
  readonly piece: number;
  wanted = 0;
  #last = -Infinity;
  #left = false;
  #waiting: { readonly bucket: TokenBucket; resolve(): void; reject(error: Error): void } | undefined;

  constructor(readonly buckets: readonly TokenBucket[]) {
    this.piece = Math.min(...buckets.map(({ piece }) => piece));
  }

  /** When it has moved last: now, while it waits for the others. */
  get last(): number {
    return this.#waiting === undefined ? this.#last : performance.now();
  }

  /** Waits until `n` bytes may pass. */
  async pass(n: number): Promise<void> {
    this.wanted = n;
    for (const bucket of this.buckets) {
      if (this.#left) throw closed();
      if (bucket.take(this)) continue;
      await new Promise<void>((resolve, reject) => this.#waiting = { bucket, resolve, reject });
    }
    this.#last = performance.now();
  }

  granted(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve();
  }

  /** Nobody wants to pass any more. */
  leave(): void {
    this.#left = true;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.bucket.leave(this);
    waiting?.reject(closed());
  }
}

function closed(): Error {
  return new Error("the connection is closed");
}
