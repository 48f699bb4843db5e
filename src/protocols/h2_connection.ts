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
import { Budget, Cost } from "./h2_budget.ts";
import {
  Code,
  codeName,
  ConnectionError,
  defaultWindow,
  Flag,
  type Frame,
  frame,
  FrameReader,
  goawayFrame,
  headersFrames,
  mostWindow,
  preface,
  Setting,
  settingsFrame,
  Type,
  uint32,
  words,
} from "./h2_frames.ts";
import { HeaderBlock } from "./h2_header_block.ts";
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
  /** A header block has come: of a new stream at a server, of an answer at a client. `null`: it was too large. */
  headers(stream: H2Stream, fields: Field[] | null, end: boolean): void;
  /** A stream has come or gone, or the connection takes no more: there may be something to decide. */
  changed(): void;
}

/** The stream was reset by its peer. */
export class StreamReset extends Error {
  constructor(readonly code: number) {
    super(`the stream was reset (${codeName(code)})`);
  }
}

/** The peer had not begun to work on the stream: it may be tried on another connection. */
export class Unprocessed extends Error {}

/** How much a peer may send on all streams together before we say more. */
const connectionWindow = 16 * 1024 * 1024;

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
  readonly #ready = Promise.withResolvers<void>();
  readonly #budget = new Budget();
  readonly #block: HeaderBlock;
  readonly #pings = new Map<number, () => void>();
  #lastPing = 0;
  /** The peer's first frame has come. */
  #greeted = false;
  #peerWindow = defaultWindow;
  #received = 0;
  /** The highest stream that the peer has opened, and the next one of ours. */
  #last = 0;
  #next = 1;

  constructor(readonly conn: Conn, readonly options: ConnectionOptions) {
    const { role, window, maxHeader, maxStreams } = options;
    this.window = window;
    this.resetCodes = role === "server"
      ? { aborted: Code.CONNECT_ERROR, closed: Code.NO_ERROR }
      : { aborted: Code.CANCEL, closed: Code.CANCEL };
    this.outbox = new Outbox(conn, (error) => this.#end(error));
    this.#block = new HeaderBlock(maxHeader);
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
      if (!this.closed && (this.streams.size > 0 || !this.#greeted)) {
        throw new Error("the HTTP/2 connection ended too early");
      }
    } catch (error) {
      failure = error;
      if (error instanceof ConnectionError && !this.closed) {
        this.#send(goawayFrame(this.#last, error.code, error.message));
        await this.#finish(error, reader);
      }
    }
    this.#end(failure ?? new Error("the HTTP/2 connection is closed"));
    this.conn.close();
    return failure;
  }

  async #frames(reader: FrameReader): Promise<void> {
    for (let started = this.options.role === "client" || undefined;;) {
      started ??= reader.preface();
      for (let next = started && reader.take(); next !== undefined; next = reader.take()) {
        if (!this.closed) this.#take(next);
      }
      if (!(await reader.fill())) return;
      this.heard = performance.now();
    }
  }

  /** Opens a stream of ours with a request. */
  open(fields: readonly Field[]): H2Stream {
    if (this.closed || this.leaving) throw new Unprocessed("the HTTP/2 connection takes no more streams");
    const stream = new H2Stream(this.#next, this, this.#peerWindow);
    this.#next += 2;
    if (this.#next > mostWindow) this.leaving = true;
    this.streams.set(stream.id, stream);
    this.outbox.control(headersFrames(stream.id, fields, false));
    this.options.changed();
    return stream;
  }

  /** Sends the head of an answer. */
  respond(stream: H2Stream, fields: readonly Field[]): void {
    stream.answered = true;
    if (this.streams.has(stream.id)) this.#send(headersFrames(stream.id, fields, false));
  }

  /** Resolves when the peer has answered a PING. */
  ping(): Promise<void> {
    return new Promise((resolve) => {
      this.#pings.set(++this.#lastPing, resolve);
      this.#send(frame(Type.PING, 0, 0, words(0, 0, 0, this.#lastPing).subarray(9)));
    });
  }

  /** Takes no more streams; those that are open go on. */
  goaway(): void {
    if (this.leaving || this.closed) return;
    this.leaving = true;
    this.#send(goawayFrame(this.#last, Code.NO_ERROR));
    this.options.changed();
  }

  /** Ends the connection in good order. */
  async close(): Promise<void> {
    this.goaway();
    if (!this.closed) await this.#finish(new Error("the HTTP/2 connection is closed"));
  }

  /** Ends it at once. */
  abort(error: unknown): void {
    this.#end(error);
    this.conn.abort();
  }

  reset(stream: H2Stream, code: number): void {
    if (this.streams.has(stream.id)) this.#send(words(Type.RST_STREAM, stream.id, code));
  }

  credit(stream: H2Stream, n: number): void {
    if (this.streams.has(stream.id)) this.#send(words(Type.WINDOW_UPDATE, stream.id, n));
  }

  gone(stream: H2Stream): void {
    if (this.streams.delete(stream.id)) this.options.changed();
  }

  /** A stream on which the peer has broken the rules; that costs it something, for resets were an attack. */
  misused(stream: H2Stream, code: number, why: string): void {
    this.reset(stream, code);
    stream.fail(new Error(why));
    this.#budget.spend(Cost.vainStream, why);
  }

  #send(bytes: Uint8Array): void {
    if (this.closed) return;
    try {
      this.outbox.control(bytes);
    } catch (error) {
      this.abort(error);
    }
  }

  // --- frames ---------------------------------------------------------------------------------------------------

  #take(next: Frame): void {
    const { type, stream } = next;
    if (!this.#greeted && type !== Type.SETTINGS) {
      throw new ConnectionError(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    }
    this.#greeted = true;
    if (this.#block.stream !== 0 && (type !== Type.CONTINUATION || stream !== this.#block.stream)) {
      throw new ConnectionError(Code.PROTOCOL_ERROR, "a header block that is not continued");
    }
    if (type === Type.DATA) this.#data(next);
    else if (type === Type.HEADERS) this.#headers(this.#block.begin(next));
    else if (type === Type.CONTINUATION) this.#headers(this.#block.goOn(next));
    else if (type === Type.RST_STREAM) this.#reset(next);
    else if (type === Type.SETTINGS) this.#settings(next);
    else if (type === Type.PING) this.#ping(next);
    else if (type === Type.GOAWAY) this.#goaway(next);
    else if (type === Type.WINDOW_UPDATE) this.#windowUpdate(next);
    else if (type === Type.PUSH_PROMISE) throw new ConnectionError(Code.PROTOCOL_ERROR, "PUSH_PROMISE");
    // PRIORITY says nothing any more, and unknown types are for others.
    else this.#budget.spend(Cost.idleFrame, "frames that say nothing");
  }

  #data({ stream: id, flags, payload }: Frame): void {
    this.#checkOpened(id, "DATA");
    this.#received += payload.length;
    if (this.#received > connectionWindow) {
      throw new ConnectionError(Code.FLOW_CONTROL_ERROR, "more data than the connection's window");
    }
    if (this.#received > connectionWindow / 4) {
      this.#send(words(Type.WINDOW_UPDATE, 0, this.#received));
      this.#received = 0;
    }
    const padded = (flags & Flag.PADDED) !== 0;
    const end = payload.length - (padded ? payload[0] : 0);
    if (padded && end < 1) throw new ConnectionError(Code.PROTOCOL_ERROR, "padding longer than its frame");
    const data = payload.subarray(padded ? 1 : 0, end);
    const ending = (flags & Flag.END_STREAM) !== 0;
    const stream = this.streams.get(id);
    if (stream === undefined) return this.#budget.spend(Cost.idleFrame, "data for streams that are gone");
    if (stream.peerEnded) return this.misused(stream, Code.STREAM_CLOSED, "data behind END_STREAM");
    if (data.length > 0) this.#budget.earn(1);
    else if (!ending) this.#budget.spend(Cost.idleFrame, "empty DATA frames");
    stream.deliver(data, payload.length);
    if (ending) stream.end();
  }

  #headers(block: ReturnType<HeaderBlock["begin"]>): void {
    if (block === null) return;
    const { stream: id, fields, end } = block;
    let stream = this.streams.get(id);
    if (stream === undefined && this.options.role === "server") {
      if (id % 2 === 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "a client's streams have odd numbers");
      if (id > this.#last && !this.leaving) {
        this.#last = id;
        this.streams.set(id, stream = new H2Stream(id, this, this.#peerWindow));
        if (end) stream.end();
        this.options.changed();
        return this.options.headers(stream, fields, end);
      }
      // Behind our GOAWAY, or on a stream that we have reset.
      return this.#budget.spend(Cost.idleFrame, "streams that are not served");
    }
    this.#checkOpened(id, "HEADERS");
    if (stream === undefined) return;
    if (stream.peerEnded || this.options.role === "server") {
      return this.misused(stream, Code.PROTOCOL_ERROR, "HEADERS where only DATA belongs");
    }
    this.options.headers(stream, fields, end);
    if (end) stream.end();
  }

  #reset({ stream: id, payload }: Frame): void {
    if (payload.length !== 4) throw new ConnectionError(Code.FRAME_SIZE_ERROR, "RST_STREAM has 4 bytes");
    this.#checkOpened(id, "RST_STREAM");
    const stream = this.streams.get(id);
    this.#budget.spend(stream?.answered === false ? Cost.vainStream : Cost.reset, "streams that are reset");
    const code = uint32(payload, 0);
    const refused = code === Code.REFUSED_STREAM && this.options.role === "client";
    stream?.fail(refused ? new Unprocessed("the proxy refused the stream") : new StreamReset(code));
  }

  #settings({ stream, flags, payload }: Frame): void {
    if (stream !== 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "SETTINGS on a stream");
    if (flags & Flag.ACK ? payload.length > 0 : payload.length % 6 > 0) {
      throw new ConnectionError(Code.FRAME_SIZE_ERROR, "SETTINGS of a length that it can't have");
    }
    this.#budget.spend(Cost.idleFrame, "SETTINGS");
    if (flags & Flag.ACK) return;
    for (let at = 0; at < payload.length; at += 6) {
      this.#setting(payload[at] << 8 | payload[at + 1], uint32(payload, at + 2));
    }
    this.#send(frame(Type.SETTINGS, Flag.ACK, 0, new Uint8Array(0)));
    this.#ready.resolve();
    this.options.changed();
  }

  #setting(id: number, value: number): void {
    if (id === Setting.MAX_CONCURRENT_STREAMS) this.peerStreams = value;
    if (id !== Setting.INITIAL_WINDOW_SIZE) return;
    if (value > mostWindow) throw new ConnectionError(Code.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
    for (const stream of this.streams.values()) {
      if (!stream.grow(value - this.#peerWindow)) {
        throw new ConnectionError(Code.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
      }
    }
    this.#peerWindow = value;
  }

  #ping({ stream, flags, payload }: Frame): void {
    if (stream !== 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "PING on a stream");
    if (payload.length !== 8) throw new ConnectionError(Code.FRAME_SIZE_ERROR, "PING has 8 bytes");
    if (flags & Flag.ACK) {
      const id = uint32(payload, 4);
      this.#pings.get(id)?.();
      this.#pings.delete(id);
    } else {
      this.#budget.spend(Cost.idleFrame, "PING");
      this.#send(frame(Type.PING, Flag.ACK, 0, payload));
    }
  }

  #goaway({ stream, payload }: Frame): void {
    if (stream !== 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "GOAWAY on a stream");
    if (payload.length < 8) throw new ConnectionError(Code.FRAME_SIZE_ERROR, "GOAWAY has 8 bytes");
    this.leaving = true;
    const last = uint32(payload, 0) & mostWindow;
    const code = uint32(payload, 4);
    const why = code === Code.NO_ERROR ? "the proxy is closing the connection" : `GOAWAY (${codeName(code)})`;
    if (this.options.role === "client") {
      for (const one of [...this.streams.values()]) if (one.id > last) one.fail(new Unprocessed(why));
    }
    this.#ready.reject(new Error(why));
    this.options.changed();
  }

  #windowUpdate({ stream: id, payload }: Frame): void {
    if (payload.length !== 4) throw new ConnectionError(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes");
    // Each frame of data may be answered by several of them.
    this.#budget.earn(4 * this.outbox.takeCount());
    this.#budget.spend(Cost.idleFrame, "WINDOW_UPDATE");
    const n = uint32(payload, 0) & mostWindow;
    if (id === 0) {
      if (n === 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      return this.outbox.grow(n);
    }
    this.#checkOpened(id, "WINDOW_UPDATE");
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    if (n === 0) return this.misused(stream, Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    if (!stream.grow(n)) this.misused(stream, Code.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
  }

  #checkOpened(id: number, what: string): void {
    const ours = this.options.role === "client"
      ? id % 2 === 1 && id < this.#next
      : id % 2 === 1 && id <= this.#last;
    if (!ours) throw new ConnectionError(Code.PROTOCOL_ERROR, `${what} on stream ${id}, which nobody opened`);
  }

  // --- the end --------------------------------------------------------------------------------------------------

  /**
   * Writes what is left to write, and our end, and waits for the peer's, reading away what comes before it: closing a
   * socket that holds unread bytes makes the kernel send a reset, which can overtake what was written.
   */
  async #finish(error: unknown, reader?: FrameReader): Promise<void> {
    const timer = setTimeout(() => this.conn.close(), lingerMs);
    this.#end(error);
    try {
      await this.outbox.flushed();
      await this.conn.closeWrite();
      while (await reader?.discard());
    } catch {
      // it is gone
    } finally {
      if (reader !== undefined) clearTimeout(timer);
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
