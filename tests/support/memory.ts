/**
 * Two connections in memory, each the other's peer: a transport whose chunks a test decides.
 *
 * @module
 */
import type { Conn } from "../../src/core/conn.ts";

/** How a pair in memory behaves. */
export interface MemoryOptions {
  /** The most bytes that one read gives. */
  readonly chunk?: number;
  /** The most bytes that are on their way in one direction before a writer has to wait. */
  readonly capacity?: number;
}

/** One direction. */
class Line {
  #bytes = new Uint8Array(0);
  #state: "open" | "ended" | "reset" = "open";
  #changed = Promise.withResolvers<void>();

  constructor(readonly chunk: number, readonly capacity: number) {}

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async read(p: Uint8Array): Promise<number | null> {
    while (this.#bytes.length === 0 && this.#state === "open") await this.#changed.promise;
    if (this.#state === "reset") throw reset();
    const n = Math.min(this.#bytes.length, this.chunk, p.length);
    if (n === 0) return null;
    p.set(this.#bytes.subarray(0, n));
    this.#bytes = this.#bytes.subarray(n);
    this.#change();
    return n;
  }

  async write(p: Uint8Array): Promise<void> {
    for (let at = 0; at < p.length;) {
      while (this.#bytes.length >= this.capacity && this.#state === "open") await this.#changed.promise;
      if (this.#state !== "open") throw reset();
      const more = p.subarray(at, at + this.capacity - this.#bytes.length);
      const joined = new Uint8Array(this.#bytes.length + more.length);
      joined.set(this.#bytes);
      joined.set(more, this.#bytes.length);
      this.#bytes = joined;
      at += more.length;
      this.#change();
    }
    if (this.#state !== "open") throw reset();
  }

  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#change();
  }

  reset(): void {
    this.#state = "reset";
    this.#bytes = new Uint8Array(0);
    this.#change();
  }
}

function reset(): Error {
  return Object.assign(new Error("connection reset"), { code: "ECONNRESET" });
}

class MemoryConn implements Conn {
  readonly localAddr = null;
  readonly remoteAddr = null;

  constructor(readonly incoming: Line, readonly outgoing: Line) {}

  read(p: Uint8Array): Promise<number | null> {
    return this.incoming.read(p);
  }

  write(p: Uint8Array): Promise<void> {
    return this.outgoing.write(p);
  }

  closeWrite(): Promise<void> {
    this.outgoing.end();
    return Promise.resolve();
  }

  /** As a socket: the peer gets what was sent and the end, and what it sends from now on is refused. */
  close(): void {
    this.outgoing.end();
    this.incoming.reset();
  }

  abort(): void {
    this.outgoing.reset();
    this.incoming.reset();
  }
}

/** Makes a pair. */
export function memoryPair({ chunk = Infinity, capacity = 64 * 1024 }: MemoryOptions = {}): [Conn, Conn] {
  const [up, down] = [new Line(chunk, capacity), new Line(chunk, capacity)];
  return [new MemoryConn(down, up), new MemoryConn(up, down)];
}
