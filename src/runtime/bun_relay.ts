/**
 * Joins two of Bun's sockets in their callbacks: a chunk is written where it arrives, and only what the sink did not
 * take is kept, while its source is paused.
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import type { Inbox } from "../core/inbox.ts";
import {
  BulkMeter,
  type Direction,
  type Flow,
  type Join,
  type Joined,
  type RelayFailure,
} from "../core/relay.ts";
import { BunConn, type Events } from "./bun_conn.ts";
import { brokenBy, type KernelRelay } from "./splice/relay.ts";
import type { Ending } from "./splice/table.ts";

/** The relay for a pair of Bun's own sockets. */
export const join: Join = joinWith();

/** The same, where bulk directions are left to the kernel. */
export function spliced(kernel: KernelRelay): Join {
  return joinWith(kernel);
}

function joinWith(kernel?: KernelRelay): Join {
  return (client, upstream, relay) => {
    if (!(client instanceof BunConn && upstream instanceof BunConn)) return false;
    if (client.stored > 0 || upstream.stored > 0) moveEarly(client, upstream, relay, kernel);
    else pipe(client, upstream, relay, kernel);
    return true;
  };
}

/** What came early is moved first; nothing can arrive between the last look and the switch. */
async function moveEarly(
  client: BunConn,
  upstream: BunConn,
  relay: Joined,
  kernel?: KernelRelay,
): Promise<void> {
  while (client.stored > 0 || upstream.stored > 0) {
    try {
      await Promise.all([
        moveStored(client, upstream, relay.flow, "up"),
        moveStored(upstream, client, relay.flow, "down"),
      ]);
    } catch {
      break; // the pipe meets the same error, and knows what to do with it
    }
  }
  pipe(client, upstream, relay, kernel);
}

async function moveStored(from: BunConn, to: BunConn, flow: Flow, direction: Direction): Promise<void> {
  while (from.stored > 0) {
    const chunk = from.takeStored();
    await to.write(chunk);
    flow.add(direction, chunk.length);
  }
}

function pipe(client: BunConn, upstream: BunConn, relay: Joined, kernel?: KernelRelay): void {
  // The kernel would move what is encrypted.
  const carrier = client.records === null && upstream.records === null ? kernel : undefined;
  const up = new Pipe(client, relay, "up", carrier);
  const down = new Pipe(upstream, relay, "down", carrier);
  up.opposite = down;
  down.opposite = up;
  const early = client.hand(up);
  const late = upstream.hand(down);
  up.start(early);
  down.start(late);
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
  /** Tells when the direction is to be the kernel's. */
  #bulk: BulkMeter | undefined;
  /** The source is being paused for the kernel, or read by it. */
  #left = false;
  /** Settles when the kernel has let go of the direction. */
  carried: Promise<void> | undefined;
  /** The kernel has read bytes that it could not deliver. */
  #stranded = false;

  constructor(
    readonly source: BunConn,
    readonly relay: Joined,
    readonly direction: Direction,
    readonly kernel?: KernelRelay,
  ) {
    this.#bulk = kernel && new BulkMeter(kernel.threshold);
  }

  get sink(): BunConn {
    return this.opposite.source;
  }

  /** Takes up what the source's inbox knows already. */
  start(inbox: Inbox): void {
    const { ended, error } = inbox;
    if (ended) this.end();
    if (error !== undefined || this.source.gone) this.fail(error ?? this.source.error);
    else if (!ended) inbox.open();
  }

  data(chunk: Uint8Array): void {
    if (this.#refused !== undefined) {
      this.#lost = this.#refused;
      return;
    }
    if (this.carried !== undefined) return this.fail(new Error("bytes came twice"));
    const { flow } = this.relay;
    flow.add(this.direction, chunk.length);
    if (this.#bulk?.add(chunk.length, flow.last)) this.#leave();
    if (this.#rest !== null) {
      // Paused sources may still deliver what the runtime had read.
      this.#rest = concat(this.#rest, chunk);
      return;
    }
    const n = this.sink.gone ? -1 : this.sink.socket.write(chunk);
    // A sink that is gone reports so itself.
    if (n === chunk.length || n < 0) return;
    this.#rest = chunk.subarray(n);
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
    else if (this.#left) this.#carry();
    else this.source.socket.resume();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#rest === null && this.carried === undefined) this.#finish();
  }

  /** Leaves the direction to the kernel, once the runtime holds none of its bytes. */
  #leave(): void {
    if (this.#left || !this.kernel!.ready) return;
    this.#left = true;
    this.source.socket.pause();
    // What the runtime had read until now is still delivered.
    setImmediate(() => this.#carry());
  }

  #carry(): void {
    if (this.#rest !== null || this.#ended || this.carried !== undefined || this.#done) {
      return;
    }
    const { source, sink, relay: { flow } } = this;
    const usable = !source.gone && !sink.gone;
    const carriage = usable ? this.kernel!.carry(source.fd, sink.fd, flow, this.direction) : null;
    if (carriage === null) {
      this.#left = false;
      if (!source.gone) source.socket.resume();
      return;
    }
    source.release = carriage.cancel;
    this.carried = carriage.ending.then((ending) => this.#carriedOut(ending));
  }

  #carriedOut(ending: Ending): void {
    const { source, sink } = this;
    source.release = undefined;
    this.carried = undefined;
    this.#left = false;
    // The runtime has yet to learn of the source's end.
    if (!source.gone) source.socket.resume();
    if (ending.lost > 0) this.#stranded = true;
    if (this.#refused !== undefined) return this.#lose(this.#refused);
    const broken = brokenBy(ending);
    if (broken?.end === "sink") {
      // It reports so itself. Until then the runtime reads on, to nowhere.
      sink.broke(broken.error);
      this.#bulk = undefined;
    } else if (broken !== undefined && !this.#ended) this.fail(broken.error);
    else {
      this.#ended = true;
      this.#finish();
    }
  }

  /** The source is gone. What it sent before its FIN is still delivered; what was on its way to it is lost. */
  fail(error: unknown): void {
    const failure: RelayFailure = { side: this.direction === "up" ? "client" : "upstream", error };
    if (this.#ended) return this.opposite.#lose({ ...failure, late: true });
    // First told, then done: an abort comes back as a failure of the side that is aborted.
    this.#over(failure);
    this.source.abort();
    this.sink.abort();
  }

  #lose(failure: RelayFailure): void {
    if (this.#done) return;
    this.#refused = failure;
    if (this.carried !== undefined) return this.source.release?.();
    if (this.#rest !== null || this.#stranded) this.#lost = failure;
    this.#rest = null;
    this.#finish();
  }

  get #done(): boolean {
    return this.relay.flow.done[this.direction];
  }

  #finish(): void {
    const { done } = this.relay.flow;
    done[this.direction] = true;
    if (!done.up || !done.down) return this.sink.finish();
    // Its FIN is left to whoever closes both.
    this.sink.finished = true;
    this.#over(this.#lost ?? this.opposite.#lost);
  }

  #over(failure?: RelayFailure): void {
    const { carried, opposite } = this;
    const either = carried ?? opposite.carried;
    this.relay.over(failure, either && Promise.all([carried, opposite.carried]));
  }
}
