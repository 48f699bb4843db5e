/**
 * The relay: joins a client and the target it asked for until each direction has ended by itself.
 *
 * @module
 */
import { Alarm } from "./alarm.ts";
import { BufferedConn, type Conn, type Context } from "./conn.ts";
import type { Side } from "./errors.ts";
import { RelayBuffer } from "./relay_buffer.ts";
import { type Abortable, Scope } from "./scope.ts";

/** How long a tunnel may be silent, in milliseconds. */
export interface RelayLimits {
  /** With both directions open. */
  readonly idle: number;
  /** Once one direction has ended. */
  readonly halfClosed: number;
}

/** How a relay ended. */
export interface RelayResult {
  /** Bytes from the client to the target. */
  readonly bytesUp: number;
  /** Bytes from the target to the client. */
  readonly bytesDown: number;
  /** Absent when both directions ended in good order. */
  readonly failure?: RelayFailure;
}

/** Whose connection broke, or `local` when the tunnel was idle or cancelled. */
export interface RelayFailure {
  readonly side: Side;
  readonly error: unknown;
  /** That side had ended its own direction before: nothing of what it sent is missing. */
  readonly late?: boolean;
}

/** What a relay counts while it runs; `up` is the direction from the client to the target. */
export class Flow {
  bytes = { up: 0, down: 0 };
  done = { up: false, down: false };
  last = performance.now();
  /** Bring up to date what somebody else knows, who carries a direction or holds it up. */
  meters?: Set<Meter>;

  add(direction: Direction, n: number): void {
    this.bytes[direction] += n;
    this.last = performance.now();
  }
}

/** Brings a flow up to date. */
export type Meter = (flow: Flow) => void;

/** From the client to the target, or back. */
export type Direction = "up" | "down";

/** Takes directions off the relay's hands that have proved to be bulk. */
export interface Carrier {
  /** How many bytes within a second are bulk. */
  readonly threshold: number;
  /**
   * Moves all that `source` still has to say, while nobody reads from it, and counts it. `null` when it can't just now;
   * then the relay goes on. Resolves behind the source's end, to what broke if something did.
   */
  carry(source: Conn, sink: Conn, flow: Flow, direction: Direction): Promise<Broken | undefined> | null;
}

/** An end of a direction that broke. */
export interface Broken {
  readonly end: "source" | "sink";
  readonly error: unknown;
}

/** Tells a direction that moves in bulk from one that talks. */
export class BulkMeter {
  #bytes = 0;
  #since = performance.now();

  constructor(readonly threshold: number) {}

  /** Takes up that `n` bytes were moved at `now`; whether that is bulk. */
  add(n: number, now: number): boolean {
    this.#bytes += n;
    if (this.#bytes < this.threshold) return false;
    const fast = now - this.#since < 1000;
    this.#bytes = 0;
    this.#since = now;
    return fast;
  }
}

/**
 * A runtime's own way to join two of its sockets; tells the relay when both directions have ended, or one has broken.
 * `false` when they are not its own.
 */
export type Join = (client: Conn, upstream: Conn, relay: Joined) => boolean;

/** The relay, as those see it who move its bytes. */
export interface Joined {
  readonly flow: Flow;
  /** It has ended, or will have once `behind` settles. Only the first call counts. */
  over(failure?: RelayFailure, behind?: Promise<unknown>): void;
}

/** Relays until both directions have ended, one breaks, the tunnel was silent too long, or `within` aborts. */
export function relay(
  client: Conn,
  upstream: Conn,
  limits: RelayLimits,
  options?: RelayOptions,
): Promise<RelayResult> {
  return new Promise((close) => startRelay(client, upstream, limits, { close }, options));
}

/** The same for somebody who waits for thousands of them: a promise would cost more than all the rest. */
export function startRelay(
  client: Conn,
  upstream: Conn,
  limits: RelayLimits,
  tunnel: Closable,
  { join, within, meter }: RelayOptions = {},
): void {
  const a = client instanceof BufferedConn ? client.unwrap() : client;
  const b = upstream instanceof BufferedConn ? upstream.unwrap() : upstream;
  const relay = new Relay(a, b, limits, tunnel, within);
  if (meter !== undefined) relay.flow.meters = new Set([meter]);
  relay.start(join);
}

/** What a relay may be given. */
export interface RelayOptions {
  readonly join?: Join;
  readonly within?: Context;
  /** Knows of a connection that a limit holds up. */
  readonly meter?: Meter;
}

/** Whom a relay is for. */
export interface Closable {
  /** It has ended. */
  close(result: RelayResult): void;
}

/** Aborts once a flow has stood still too long. One alarm, set anew only when it has gone off: no work for each chunk. */
abstract class IdleWatch implements Abortable {
  #alarm: Alarm;

  constructor(readonly flow: Flow, readonly limits: RelayLimits) {
    this.#alarm = new Alarm(Math.min(limits.idle, limits.halfClosed), this);
  }

  abstract abort(reason: unknown): void;

  wake(): void {
    const { flow, limits } = this;
    flow.meters?.forEach((meter) => meter(flow));
    const limit = flow.done.up || flow.done.down ? limits.halfClosed : limits.idle;
    const rest = limit - (performance.now() - flow.last);
    if (rest <= 0) return this.abort(new Error(`idle for ${limit / 1000} s`));
    this.#alarm = new Alarm(Math.min(Math.ceil(rest), limits.halfClosed), this);
  }

  stop(): void {
    this.#alarm.cancel();
  }
}

/** Calls `tooLong` once a flow has stood still too long. */
export function watchIdle(
  flow: Flow,
  limits: RelayLimits,
  tooLong: (error: Error) => void,
): { stop(): void } {
  return new class extends IdleWatch {
    abort = tooLong;
  }(flow, limits);
}

/** A relay that goes on: all that it needs meanwhile, and no closures. */
class Relay extends IdleWatch implements Joined {
  #stopped: RelayFailure | undefined;
  readonly #scope: Scope;
  #ended = false;

  constructor(
    readonly client: Conn,
    readonly upstream: Conn,
    limits: RelayLimits,
    readonly tunnel: Closable,
    within: Context | undefined,
  ) {
    super(new Flow(), limits);
    this.#scope = new Scope(within, this);
  }

  start(join?: Join): void {
    const { client, upstream, flow } = this;
    if (join?.(client, upstream, this)) return;
    copyBoth(client, upstream, flow).then((failure) => this.over(failure));
  }

  /** It was silent too long, or is wanted gone: whoever moves its bytes finds both connections closed. */
  abort(error: unknown): void {
    this.#stopped ??= { side: "local", error };
    this.client.close();
    this.upstream.close();
  }

  over(failure?: RelayFailure, behind?: Promise<unknown>): void {
    if (this.#ended) return;
    this.#ended = true;
    // Not at once: who calls may still want to reset what would be closed here.
    Promise.resolve(behind).then(() => {
      this.stop();
      this.#scope.leave();
      this.client.close();
      this.upstream.close();
      const { up, down } = this.flow.bytes;
      this.tunnel.close({ bytesUp: up, bytesDown: down, failure: this.#stopped ?? failure });
    });
  }
}

/** Relays by reading and writing; bulk directions are left to the carrier. */
export async function copyBoth(
  client: Conn,
  upstream: Conn,
  flow: Flow,
  carrier?: Carrier,
): Promise<RelayFailure | undefined> {
  let failure: RelayFailure | undefined;
  /** A source that broke takes the tunnel with it; a sink's own source says what became of it, so it goes on. */
  const broke = (side: Side, error: unknown, end: "source" | "sink") => {
    const late = end === "sink" && flow.done[side === "upstream" ? "down" : "up"];
    failure ??= { side, error, late };
    if (end === "sink") return;
    client.abort();
    upstream.abort();
  };
  await Promise.all([
    copy(
      client,
      upstream,
      "up",
      flow,
      (end, error) => broke(end === "source" ? "client" : "upstream", error, end),
      carrier,
    ),
    copy(
      upstream,
      client,
      "down",
      flow,
      (end, error) => broke(end === "source" ? "upstream" : "client", error, end),
      carrier,
    ),
  ]);
  return failure;
}

/** What is held up keeps its buffer long, and has no use for a large one. */
const heldBuffer = 16 * 1024;

/** Copies one direction and passes its end on. */
async function copy(
  source: Conn,
  sink: Conn,
  direction: Direction,
  flow: Flow,
  broke: (end: "source" | "sink", error: unknown) => void,
  carrier?: Carrier,
): Promise<void> {
  const buffer = new RelayBuffer(flow.meters && heldBuffer);
  const bulk = carrier && new BulkMeter(carrier.threshold);
  let end: "source" | "sink" = "source";
  try {
    for (;;) {
      end = "source";
      const n = await source.read(buffer.bytes);
      end = "sink";
      if (n === null) break;
      await sink.write(buffer.filled(n));
      flow.add(direction, n);
      if (bulk?.add(n, flow.last)) {
        const carried = carrier!.carry(source, sink, flow, direction);
        if (carried !== null) {
          buffer.release();
          const broken = await carried;
          if (broken === undefined) break;
          end = broken.end;
          throw broken.error;
        }
      }
      buffer.adapt(n);
    }
    // After an error somebody may still hold what was borrowed: then it isn't lent again.
    buffer.end();
    flow.done[direction] = true;
    // What has a carrier is two sockets: the last FIN is left to whoever closes both.
    if (carrier === undefined || !flow.done.up || !flow.done.down) await sink.closeWrite();
  } catch (error) {
    const delivered = flow.done[direction];
    flow.done[direction] = true;
    // A sink that has ended and gone needs no FIN from us.
    const opposite = direction === "up" ? "down" : "up";
    if (!delivered || !flow.done[opposite]) broke(end, error);
  }
}
