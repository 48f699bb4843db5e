/**
 * A connection without a network: what the peer sends is scripted, what we do to it is recorded.
 *
 * @module
 */
import type { Conn, Endpoint } from "../../src/core/conn.ts";
import { concat } from "./bytes.ts";

/** A piece that a read delivers, `null` for the end, an error to fail with; after the last one, silence. */
export type Arrival = Uint8Array | null | Error;

/** What `read` or `write` rejects with once the connection is closed or aborted. */
export class Gone extends Error {}

export class FakeConn implements Conn {
  readonly localAddr: Endpoint | null = { hostname: "192.0.2.1", port: 40000 };
  readonly remoteAddr: Endpoint | null = { hostname: "192.0.2.2", port: 1080 };
  readonly writes: Uint8Array[] = [];
  /** `close`, `abort` and `closeWrite`, in the order of their calls. */
  readonly calls: string[] = [];
  /** When set, writes reject with it. */
  writeError?: Error;
  readonly #arrivals: Arrival[];
  #wake = () => {};
  #gone = false;

  constructor(...arrivals: Arrival[]) {
    this.#arrivals = arrivals;
  }

  get sent(): Uint8Array {
    return concat(...this.writes);
  }

  /** More from the peer. */
  deliver(...arrivals: Arrival[]): void {
    this.#arrivals.push(...arrivals);
    this.#wake();
  }

  async read(p: Uint8Array): Promise<number | null> {
    while (this.#arrivals.length === 0 && !this.#gone) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    if (this.#gone) throw new Gone("read after the end");
    const next = this.#arrivals[0];
    if (next === null) return null;
    if (next instanceof Error) throw next;
    const n = Math.min(p.length, next.length);
    p.set(next.subarray(0, n));
    if (n === next.length) this.#arrivals.shift();
    else this.#arrivals[0] = next.subarray(n);
    return n;
  }

  write(p: Uint8Array): Promise<void> {
    if (this.#gone) return Promise.reject(new Gone("write after the end"));
    if (this.writeError !== undefined) return Promise.reject(this.writeError);
    this.writes.push(p.slice());
    return Promise.resolve();
  }

  closeWrite(): Promise<void> {
    this.calls.push("closeWrite");
    return Promise.resolve();
  }

  close(): void {
    this.#end("close");
  }

  abort(): void {
    this.#end("abort");
  }

  #end(how: string): void {
    this.calls.push(how);
    this.#gone = true;
    this.#wake();
  }
}
