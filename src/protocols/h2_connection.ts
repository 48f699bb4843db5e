/**
 * An HTTP/2 connection (RFC 9113), as far as tunnels need it: either side, CONNECT streams, no push.
 *
 * Every stream has a window of its own, which opens only as its reader takes the data away; the connection's window is
 * opened at once, so that a stalled stream never blocks the others. What it may hold is bounded all the same: by the
 * number of streams times their window.
 *
 * Frames are our own, not `node:http2`'s: docs/runtimes.md says what that does on each runtime.
 *
 * @module
 */
import type { Conn } from "../core/conn.ts";
import type { Field } from "../core/http_head.ts";
import { Cost } from "./h2_budget.ts";
import {
  Code,
  ConnectionError,
  defaultWindow,
  frame,
  FrameReader,
  goawayFrame,
  headersFrames,
  mostWindow,
  preface,
  Setting,
  settingsFrame,
  Type,
  words,
} from "./h2_frames.ts";
import { connectionWindow, Incoming, Unprocessed } from "./h2_incoming.ts";
import { Outbox } from "./h2_outbox.ts";
import { type Carrier, H2Stream } from "./h2_stream.ts";

/** How a connection behaves, and whom it tells. */
export interface ConnectionOptions {
  readonly role: "client" | "server";
  /** How much each stream takes before it is read from. */
  readonly window: number;
  /** The most bytes of a header block, and the most that its fields may weigh. */
  readonly maxHeader: number;
  /** The most streams at a time that the peer may open. */
  readonly maxStreams: number;
  /** A header block has come: of a request or its trailers at a server, of an answer at a client. `null`: too large. */
  headers(stream: H2Stream, fields: Field[] | null, end: boolean): void;
  /** A stream has come or gone, or the connection takes no more: there may be something to decide. */
  changed(): void;
}

export class H2Connection implements Carrier {
  readonly outbox: Outbox;
  readonly window: number;
  readonly resetCodes: Carrier["resetCodes"];
  readonly streams = new Map<number, H2Stream>();
  /** When something last came. */
  heard = performance.now();
  /** How many streams the peer lets us open. */
  peerStreams = Infinity;
  /** The peer, or we, have sent GOAWAY: no new streams. */
  leaving = false;
  closed = false;
  readonly #incoming: Incoming;
  readonly #ready = Promise.withResolvers<void>();
  readonly #pings = new Map<number, () => void>();
  #lastPing = 0;
  /** Why it was ended at once. */
  #aborted: unknown;
  #linger: ReturnType<typeof setTimeout> | undefined;
  /** The next stream of ours. */
  next = 1;

  constructor(readonly conn: Conn, readonly options: ConnectionOptions) {
    const { role, window, maxHeader, maxStreams } = options;
    this.window = window;
    this.resetCodes = role === "server"
      ? { aborted: Code.CONNECT_ERROR, closed: Code.NO_ERROR }
      : { aborted: Code.CANCEL, closed: Code.CANCEL };
    this.outbox = new Outbox(conn, (error) => this.abort(error));
    this.#incoming = new Incoming(this, options);
    this.#ready.promise.catch(() => {});
    if (role === "client") this.outbox.control(preface);
    this.outbox.control(settingsFrame([
      role === "client" ? [Setting.ENABLE_PUSH, 0] : [Setting.MAX_CONCURRENT_STREAMS, maxStreams],
      [Setting.INITIAL_WINDOW_SIZE, window],
      [Setting.MAX_HEADER_LIST_SIZE, maxHeader],
    ]));
    this.outbox.control(words(Type.WINDOW_UPDATE, 0, connectionWindow - defaultWindow));
  }

  /** Resolves when the peer's settings have come. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Reads frames until the connection has ended; never rejects. @returns why it ended, if not in good order */
  async run(): Promise<unknown> {
    const reader = new FrameReader(this.conn);
    let failure: unknown;
    try {
      await this.#frames(reader);
      if (!this.closed && (this.streams.size > 0 || !this.#incoming.greeted)) {
        throw new Error("the HTTP/2 connection ended too early");
      }
    } catch (error) {
      failure = error;
      if (error instanceof ConnectionError && !this.closed) {
        this.send(goawayFrame(this.#incoming.last, error.code, error.message));
        await this.#finish(error, reader);
      }
    }
    this.#end(failure ?? new Error("the HTTP/2 connection is closed"));
    clearTimeout(this.#linger);
    this.conn.close();
    return this.#aborted ?? failure;
  }

  async #frames(reader: FrameReader): Promise<void> {
    for (let started = this.options.role === "client" || undefined;;) {
      started ??= reader.preface();
      for (let next = started && reader.take(); next !== undefined; next = reader.take()) {
        if (!this.closed) this.#incoming.take(next);
      }
      if (!(await reader.fill())) return;
      this.heard = performance.now();
    }
  }

  /** Opens a stream of ours with a request. */
  open(fields: readonly Field[]): H2Stream {
    if (this.closed || this.leaving) throw new Unprocessed("the HTTP/2 connection takes no more streams");
    const stream = new H2Stream(this.next, this, this.#incoming.peerWindow);
    this.next += 2;
    if (this.next > mostWindow) this.leaving = true;
    this.streams.set(stream.id, stream);
    this.send(headersFrames(stream.id, fields, false));
    this.options.changed();
    return stream;
  }

  /** Resolves when the peer has answered a PING. */
  ping(): Promise<void> {
    return new Promise((resolve) => {
      this.#pings.set(++this.#lastPing, resolve);
      this.send(frame(Type.PING, 0, 0, words(0, 0, 0, this.#lastPing).subarray(9)));
    });
  }

  /** Takes no more streams; those that are open go on. */
  goaway(): void {
    if (this.leaving || this.closed) return;
    this.leaving = true;
    this.send(goawayFrame(this.#incoming.last, Code.NO_ERROR));
    this.options.changed();
  }

  /** The peer's settings have come. */
  settled(): void {
    this.#ready.resolve();
    this.options.changed();
  }

  /** The peer takes no more streams. */
  leave(why: Error): void {
    this.leaving = true;
    this.#ready.reject(why);
    this.options.changed();
  }

  /** The peer has answered a PING of ours. */
  answered(id: number): void {
    this.#pings.get(id)?.();
    this.#pings.delete(id);
  }

  /** Ends the connection in good order. */
  async close(): Promise<void> {
    this.goaway();
    if (!this.closed) await this.#finish(new Error("the HTTP/2 connection is closed"));
  }

  /** Ends it at once. */
  abort(error: unknown): void {
    if (!this.closed) this.#aborted = error;
    this.#end(error);
    this.conn.abort();
  }

  reset(stream: H2Stream, code: number): void {
    if (this.streams.has(stream.id)) this.send(words(Type.RST_STREAM, stream.id, code));
  }

  credit(stream: H2Stream, n: number): void {
    if (this.streams.has(stream.id)) this.send(words(Type.WINDOW_UPDATE, stream.id, n));
  }

  answering(stream: H2Stream): void {
    stream.answered = true;
    this.#incoming.budget.earn(Cost.reset);
  }

  gone(stream: H2Stream): void {
    if (this.streams.delete(stream.id)) this.options.changed();
  }

  /** A stream on which the peer has broken the rules; that costs it something, for resets were an attack. */
  misused(stream: H2Stream, code: number, why: string): void {
    this.reset(stream, code);
    stream.fail(new Error(why));
    this.#incoming.budget.spend(Cost.vainStream, why);
  }

  /** Sends a frame, unless the connection is over. */
  send(bytes: Uint8Array): void {
    if (this.closed) return;
    try {
      this.outbox.control(bytes);
    } catch (error) {
      this.abort(error);
    }
  }

  // --- the end --------------------------------------------------------------------------------------------------

  /**
   * Writes what is left to write, and our end, and waits for the peer's, reading away what comes before it: closing a
   * socket that holds unread bytes makes the kernel send a reset, which can overtake what was written.
   */
  async #finish(error: unknown, reader?: FrameReader): Promise<void> {
    this.#linger = setTimeout(() => this.conn.close(), lingerMs);
    this.#end(error);
    try {
      await this.outbox.flushed();
      await this.conn.closeWrite();
      while (await reader?.discard());
    } catch {
      // it is gone
    }
  }

  #end(error: unknown): void {
    if (this.closed) return;
    this.closed = this.leaving = true;
    this.#ready.reject(error);
    for (const stream of [...this.streams.values()]) stream.fail(error);
    this.#pings.clear();
    this.options.changed();
  }
}

const lingerMs = 1000;
