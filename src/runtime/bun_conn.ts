/**
 * A connection over a socket of Bun's: callbacks deliver what comes, so an idle connection holds no buffer.
 *
 * Once our side has been shut down, the peer's FIN arrives as `close` without an error rather than as `end`.
 *
 * @module
 */
import type { Socket } from "bun";
import type { Conn, Endpoint, Outgoing } from "../core/conn.ts";
import { Inbox } from "../core/inbox.ts";
import { type RecordWatch, truncated } from "../core/tls_records.ts";
import { terminateTls } from "./bun_tls.ts";

/** Where a socket's events go: first to the reads of the handshake, then to the relay. */
export interface Events {
  data(chunk: Uint8Array): void;
  drain(): void;
  end(): void;
  fail(error: unknown): void;
}

export class BunConn implements Conn, Events {
  /** What has come and has not been read; `null` once somebody else gets the events. */
  #inbox: Inbox | null;
  /** Who gets the socket's events. */
  events: Events = this;
  #draining: { resolve(): void; reject(error: unknown): void } | null = null;
  #error: unknown;
  /** Our side was shut down. */
  finished = false;
  gone = false;
  /** The peer has ended its direction in good order. */
  #heard = false;
  /** The records of the TLS that the socket terminates. */
  records: RecordWatch | null = null;
  /** Ends what the kernel relay reads from it. */
  release?: () => void;

  constructor(
    public socket: Socket<BunConn>,
    readonly localAddr: Endpoint,
    readonly remoteAddr: Endpoint,
    readonly outgoing?: Outgoing,
  ) {
    outgoing?.add(localAddr, remoteAddr);
    this.#inbox = new Inbox(socket);
  }

  /** Why it is gone. */
  get error(): unknown {
    return this.#error ?? Object.assign(new Error("the connection is closed"), { code: "ECONNRESET" });
  }

  read(p: Uint8Array): Promise<number | null> {
    return this.#inbox!.read(p);
  }

  /** How many bytes have come and have not been read. */
  get stored(): number {
    return this.#inbox!.stored;
  }

  /** Takes the oldest chunk of them. */
  takeStored(): Uint8Array {
    return this.#inbox!.takeStored();
  }

  /** Lets somebody else have the socket's events from now on, for good; nothing is read here any more. */
  hand(events: Events): Inbox {
    const inbox = this.#inbox!;
    this.#inbox = null;
    this.events = events;
    return inbox;
  }

  /** TLS is spoken from now on, over a socket around this one. */
  wrap(socket: Socket<BunConn>, records: RecordWatch): void {
    this.socket = socket;
    this.records = records;
  }

  /** Takes the events back, behind a handshake. */
  open(): void {
    this.#inbox = new Inbox(this.socket);
    this.events = this;
  }

  /** Absent inside TLS: Bun puts none around a socket that has it. */
  get terminateTls(): Conn["terminateTls"] {
    return this.records === null ? terminateTls : undefined;
  }

  readChunk(): Promise<Uint8Array | null> {
    return this.#inbox!.readChunk();
  }

  write(p: Uint8Array): Promise<void> {
    const n = this.gone ? -1 : this.socket.write(p);
    return n === p.length ? written : this.#writeRest(p, n);
  }

  async #writeRest(p: Uint8Array, n: number): Promise<void> {
    for (let at = 0;;) {
      if (n < 0) throw this.error;
      at += n;
      if (at === p.length) return;
      await new Promise<void>((resolve, reject) => this.#draining = { resolve, reject });
      n = this.gone ? -1 : this.socket.write(p, at, p.length - at);
    }
  }

  /** The descriptor, while it is not gone; Bun's types do not know of it. */
  get fd(): number {
    return (this.socket as unknown as { readonly fd: number }).fd;
  }

  /** Takes up an error that the socket has told somebody else, and so won't tell again. */
  broke(error: unknown): void {
    this.#error ??= error;
  }

  closeWrite(): Promise<void> {
    if (this.gone) return Promise.reject(this.error);
    this.finish();
    return Promise.resolve();
  }

  finish(): void {
    if (this.finished || this.gone) return;
    this.finished = true;
    this.socket.shutdown();
  }

  close(): void {
    this.release?.();
    if (this.gone) return;
    // TLS would otherwise wait for the peer's close_notify.
    if (this.records !== null && !this.#heard) this.socket.shutdown();
    this.socket.end();
  }

  abort(): void {
    this.release?.();
    if (!this.gone) this.socket.terminate();
  }

  data(chunk: Uint8Array): void {
    this.#inbox!.deliver(chunk, false);
  }

  drain(): void {
    const draining = this.#draining;
    this.#draining = null;
    draining?.resolve();
  }

  end(): void {
    this.#inbox!.end();
  }

  fail(error: unknown): void {
    this.#inbox!.fail(error);
    this.#draining?.reject(error);
  }

  /** TLS is spoken, and the peer has not said so far that it ends. */
  get #cut(): boolean {
    return this.records !== null && !this.#heard && !this.records.closed;
  }

  /** The peer's direction has ended: in TLS by a close_notify, or in the middle of things. */
  ended(): void {
    if (this.#cut) return this.events.fail(this.#error ??= truncated("client"));
    this.#heard = true;
    this.events.end();
  }

  /** The socket is no more: by a reset, by the peer's FIN behind ours, or by ourselves. */
  closed(error: unknown): void {
    this.gone = true;
    this.outgoing?.delete(this.localAddr, this.remoteAddr);
    const cut = this.#cut;
    if (cut && this.finished) error ??= truncated("client");
    error ??= this.#error;
    this.#error = error ?? undefined;
    // EPIPE is how a reset is told that came behind a FIN; what was read until then is the whole.
    const ended = !cut && (error == null ? this.finished : (error as { code?: string }).code === "EPIPE");
    if (ended) this.events.end();
    if (!ended || error != null) this.events.fail(this.error);
  }
}

const written = Promise.resolve();

/** The callbacks that all sockets share; `socket.data` is set when the socket opens. */
export const handler = {
  // An array of each chunk's own.
  binaryType: "uint8array" as const,
  data: (socket: Socket<BunConn>, chunk: Uint8Array) => socket.data.events.data(chunk),
  drain: (socket: Socket<BunConn>) => socket.data?.events.drain(),
  end: (socket: Socket<BunConn>) => socket.data?.ended(),
  close: (socket: Socket<BunConn>, error?: unknown) => socket.data?.closed(error),
  error: (socket: Socket<BunConn>, error: unknown) => socket.data?.events.fail(error),
};
