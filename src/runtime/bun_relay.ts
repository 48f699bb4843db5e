/**
 * Joins two of Bun's sockets in their callbacks: a chunk is written where it arrives, and only what the sink did not
 * take is kept, while its source is paused.
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import type { Flow, Join, RelayFailure } from "../core/relay.ts";
import { BunConn, type Events } from "./bun_conn.ts";

/** The relay for a pair of Bun's own sockets. */
export const join: Join = (client, upstream, flow) => {
  if (!(client instanceof BunConn) || !(upstream instanceof BunConn)) return null;
  return joinSockets(client, upstream, flow);
};

async function joinSockets(
  client: BunConn,
  upstream: BunConn,
  flow: Flow,
): Promise<RelayFailure | undefined> {
  // What came early is moved first; nothing can arrive between the last look and the switch.
  while (client.inbox.stored > 0 || upstream.inbox.stored > 0) {
    try {
      await Promise.all([
        moveStored(client, upstream, flow, "up"),
        moveStored(upstream, client, flow, "down"),
      ]);
    } catch {
      break; // the pipe meets the same error, and knows what to do with it
    }
  }
  const { promise, resolve } = Promise.withResolvers<RelayFailure | undefined>();
  const up = new Pipe(client, upstream, flow, "up", resolve);
  const down = new Pipe(upstream, client, flow, "down", resolve);
  up.opposite = down;
  down.opposite = up;
  client.events = up;
  upstream.events = down;
  up.start();
  down.start();
  return await promise;
}

async function moveStored(from: BunConn, to: BunConn, flow: Flow, direction: "up" | "down"): Promise<void> {
  while (from.inbox.stored > 0) {
    const chunk = from.inbox.takeStored();
    await to.write(chunk);
    flow.add(direction, chunk.length);
  }
}

/** One direction of a joined pair. It takes the events of its source; a `drain` there is about the opposite one. */
class Pipe implements Events {
  opposite!: Pipe;
  /** What the sink has not taken yet. */
  #rest: Uint8Array | null = null;
  /** The source has sent its FIN. */
  #ended = false;
  /** The sink wants nothing more, for this reason. */
  #refused: RelayFailure | undefined;
  /** That reason, once bytes were lost by it. */
  #lost: RelayFailure | undefined;

  constructor(
    readonly source: BunConn,
    readonly sink: BunConn,
    readonly flow: Flow,
    readonly direction: "up" | "down",
    readonly over: (failure?: RelayFailure) => void,
  ) {}

  /** Takes up what the source's inbox knows already. */
  start(): void {
    const { ended, error } = this.source.inbox;
    if (ended) this.end();
    if (error !== undefined || this.source.gone) this.fail(error ?? this.source.error);
    else if (!ended) this.source.inbox.open();
  }

  data(chunk: Uint8Array): void {
    if (this.#refused !== undefined) {
      this.#lost = this.#refused;
      return;
    }
    this.flow.add(this.direction, chunk.length);
    if (this.#rest !== null) {
      // Paused sources may still deliver what the runtime had read.
      this.#rest = concat(this.#rest, chunk);
      return;
    }
    const n = this.sink.gone ? -1 : this.sink.socket.write(chunk);
    // A sink that is gone reports so itself.
    if (n === chunk.length || n < 0) return;
    this.#rest = chunk.slice(n);
    this.source.socket.pause();
  }

  drain(): void {
    this.opposite.flush();
  }

  flush(): void {
    if (this.#rest === null) return;
    const n = this.sink.gone ? -1 : this.sink.socket.write(this.#rest);
    if (n < 0) return;
    if (n < this.#rest.length) {
      this.#rest = this.#rest.subarray(n);
      return;
    }
    this.#rest = null;
    if (this.#ended) this.#finish();
    else this.source.socket.resume();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#rest === null) this.#finish();
  }

  /** The source is gone. What it sent before its FIN is still delivered; what was on its way to it is lost. */
  fail(error: unknown): void {
    const failure: RelayFailure = { side: this.direction === "up" ? "client" : "upstream", error };
    if (this.#ended) return this.opposite.#lose({ ...failure, late: true });
    // First told, then done: an abort comes back as a failure of the side that is aborted.
    this.over(failure);
    this.source.abort();
    this.sink.abort();
  }

  #lose(failure: RelayFailure): void {
    if (this.flow.done[this.direction]) return;
    this.#refused = failure;
    if (this.#rest !== null) this.#lost = failure;
    this.#rest = null;
    this.#finish();
  }

  #finish(): void {
    this.flow.done[this.direction] = true;
    this.sink.finish();
    if (this.flow.done.up && this.flow.done.down) this.over(this.#lost ?? this.opposite.#lost);
  }
}
