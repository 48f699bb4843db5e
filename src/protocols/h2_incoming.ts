/**
 * What comes in on an HTTP/2 connection (RFC 9113 sections 5 and 6), checked, counted and handed on.
 *
 * @module
 */
import { Budget, Cost } from "./h2_budget.ts";
import type { ConnectionOptions, H2Connection } from "./h2_connection.ts";
import {
  Code,
  codeName,
  ConnectionError,
  defaultWindow,
  Flag,
  type Frame,
  frame,
  longestFrame,
  maxFrame,
  mostWindow,
  Setting,
  Type,
  uint32,
  words,
} from "./h2_frames.ts";
import { HeaderBlock } from "./h2_header_block.ts";
import { H2Stream } from "./h2_stream.ts";

/** How much a peer may send on all streams together before we say more. */
export const connectionWindow = 16 * 1024 * 1024;

/** The stream was reset by its peer. */
export class StreamReset extends Error {
  constructor(readonly code: number) {
    super(`the stream was reset (${codeName(code)})`);
  }
}

/** The peer had not begun to work on the stream: it may be tried on another connection. */
export class Unprocessed extends Error {}

/** The reading half of a connection. */
export class Incoming {
  readonly budget = new Budget();
  /** The peer's first frame has come. */
  greeted = false;
  /** The highest stream that the peer has opened. */
  last = 0;
  /** How much the peer takes on a new stream. */
  peerWindow = defaultWindow;
  readonly #block: HeaderBlock;
  /** Bytes of data since the connection's window was opened. */
  #received = 0;

  constructor(readonly connection: H2Connection, readonly options: ConnectionOptions) {
    this.#block = new HeaderBlock(options.maxHeader);
  }

  /** Takes a frame. @throws ConnectionError */
  take(next: Frame): void {
    const { type, stream } = next;
    if (!this.greeted && type !== Type.SETTINGS) {
      throw new ConnectionError(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    }
    this.greeted = true;
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
    else if (type === Type.PRIORITY) this.#priority(next);
    // Unknown types are for others.
    else this.budget.spend(Cost.idleFrame, "frames that say nothing");
  }

  #data({ stream: id, flags, payload }: Frame): void {
    this.#checkOpened(id, "DATA");
    this.#received += payload.length;
    if (this.#received > connectionWindow / 4) {
      this.connection.send(words(Type.WINDOW_UPDATE, 0, this.#received));
      this.#received = 0;
    }
    const padded = (flags & Flag.PADDED) !== 0;
    const end = payload.length - (padded ? payload[0] : 0);
    if (padded && end < 1) throw new ConnectionError(Code.PROTOCOL_ERROR, "padding longer than its frame");
    const data = payload.subarray(padded ? 1 : 0, end);
    const ending = (flags & Flag.END_STREAM) !== 0;
    const stream = this.connection.streams.get(id);
    if (stream === undefined) return this.budget.spend(Cost.idleFrame, "data for streams that are gone");
    if (stream.peerEnded) {
      return this.connection.misused(stream, Code.STREAM_CLOSED, "data behind END_STREAM");
    }
    if (!stream.fits(data.length, ending)) {
      return this.connection.misused(
        stream,
        Code.PROTOCOL_ERROR,
        "a body of another length than was declared",
      );
    }
    if (data.length > 0) this.budget.earn(1);
    else if (!ending) this.budget.spend(Cost.idleFrame, "empty DATA frames");
    stream.deliver(data, payload.length);
    if (ending) stream.end();
  }

  #headers(block: ReturnType<HeaderBlock["begin"]>): void {
    if (block === null) return;
    const { stream: id, fields, end } = block;
    let stream = this.connection.streams.get(id);
    if (stream === undefined && this.options.role === "server") {
      if (id % 2 === 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "a client's streams have odd numbers");
      if (id > this.last && !this.connection.leaving) {
        this.last = id;
        this.connection.streams.set(id, stream = new H2Stream(id, this.connection, this.peerWindow));
        if (end) stream.end();
        this.options.changed();
        return this.options.headers(stream, fields, end);
      }
      // Behind our GOAWAY, or on a stream that we have reset.
      return this.budget.spend(Cost.idleFrame, "streams that are not served");
    }
    this.#checkOpened(id, "HEADERS");
    if (stream === undefined) return;
    const trailers = stream.body !== null && end && stream.fits(0, end);
    if (stream.peerEnded || this.options.role === "server" && !trailers) {
      return this.connection.misused(stream, Code.PROTOCOL_ERROR, "HEADERS where only DATA belongs");
    }
    this.options.headers(stream, fields, end);
    if (end) stream.end();
  }

  #reset({ stream: id, payload }: Frame): void {
    if (payload.length !== 4) throw new ConnectionError(Code.FRAME_SIZE_ERROR, "RST_STREAM has 4 bytes");
    this.#checkOpened(id, "RST_STREAM");
    const stream = this.connection.streams.get(id);
    const vain = this.options.role === "server" && stream?.answered === false;
    this.budget.spend(vain ? Cost.vainStream : Cost.reset, "streams that are reset");
    const code = uint32(payload, 0);
    const refused = code === Code.REFUSED_STREAM && this.options.role === "client";
    stream?.fail(refused ? new Unprocessed("the proxy refused the stream") : new StreamReset(code));
  }

  #settings({ stream, flags, payload }: Frame): void {
    if (stream !== 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "SETTINGS on a stream");
    if (flags & Flag.ACK ? payload.length > 0 : payload.length % 6 > 0) {
      throw new ConnectionError(Code.FRAME_SIZE_ERROR, "SETTINGS of a length that it can't have");
    }
    this.budget.spend(Cost.idleFrame, "SETTINGS");
    if (flags & Flag.ACK) return;
    for (let at = 0; at < payload.length; at += 6) {
      this.#setting(payload[at] << 8 | payload[at + 1], uint32(payload, at + 2));
    }
    this.connection.send(frame(Type.SETTINGS, Flag.ACK, 0, new Uint8Array(0)));
    this.connection.settled();
  }

  #setting(id: number, value: number): void {
    if (id === Setting.MAX_CONCURRENT_STREAMS) this.connection.peerStreams = value;
    // A server has nothing to allow here.
    if (id === Setting.ENABLE_PUSH && value > (this.options.role === "server" ? 1 : 0)) {
      throw new ConnectionError(Code.PROTOCOL_ERROR, `SETTINGS_ENABLE_PUSH of ${value}`);
    }
    if (id === Setting.MAX_FRAME_SIZE && (value < maxFrame || value > longestFrame)) {
      throw new ConnectionError(Code.PROTOCOL_ERROR, `SETTINGS_MAX_FRAME_SIZE of ${value}`);
    }
    if (id !== Setting.INITIAL_WINDOW_SIZE) return;
    if (value > mostWindow) throw new ConnectionError(Code.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
    for (const stream of this.connection.streams.values()) {
      if (!stream.grow(value - this.peerWindow)) {
        throw new ConnectionError(Code.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
      }
    }
    this.peerWindow = value;
  }

  #ping({ stream, flags, payload }: Frame): void {
    if (stream !== 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "PING on a stream");
    if (payload.length !== 8) throw new ConnectionError(Code.FRAME_SIZE_ERROR, "PING has 8 bytes");
    this.budget.spend(Cost.idleFrame, "PING");
    if (flags & Flag.ACK) this.connection.answered(uint32(payload, 4));
    else this.connection.send(frame(Type.PING, Flag.ACK, 0, payload));
  }

  /** It says nothing any more (section 5.3.2). */
  #priority({ stream: id, payload }: Frame): void {
    if (id === 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "PRIORITY on no stream");
    this.budget.spend(Cost.idleFrame, "PRIORITY");
    const stream = this.connection.streams.get(id);
    if (payload.length !== 5 && stream !== undefined) {
      this.connection.misused(stream, Code.FRAME_SIZE_ERROR, "PRIORITY has 5 bytes");
    }
  }

  #goaway({ stream, payload }: Frame): void {
    if (stream !== 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "GOAWAY on a stream");
    if (payload.length < 8) throw new ConnectionError(Code.FRAME_SIZE_ERROR, "GOAWAY has 8 bytes");
    this.budget.spend(Cost.idleFrame, "GOAWAY");
    const last = uint32(payload, 0) & mostWindow;
    const code = uint32(payload, 4);
    const why = code === Code.NO_ERROR ? "the proxy is closing the connection" : `GOAWAY (${codeName(code)})`;
    if (this.options.role === "client") {
      for (const one of [...this.connection.streams.values()]) {
        if (one.id > last) one.fail(new Unprocessed(why));
      }
    }
    this.connection.leave(new Error(why));
  }

  #windowUpdate({ stream: id, payload }: Frame): void {
    if (payload.length !== 4) throw new ConnectionError(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes");
    // Each frame of data may be answered by several of them.
    this.budget.earn(4 * this.connection.outbox.takeCount());
    this.budget.spend(Cost.idleFrame, "WINDOW_UPDATE");
    const n = uint32(payload, 0) & mostWindow;
    if (id === 0) {
      if (n === 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      return this.connection.outbox.grow(n);
    }
    this.#checkOpened(id, "WINDOW_UPDATE");
    const stream = this.connection.streams.get(id);
    if (stream === undefined) return;
    if (n === 0) return this.connection.misused(stream, Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    if (!stream.grow(n)) this.connection.misused(stream, Code.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
  }

  #checkOpened(id: number, what: string): void {
    const ours = this.options.role === "client"
      ? id % 2 === 1 && id < this.connection.next
      : id % 2 === 1 && id <= this.last;
    if (!ours) throw new ConnectionError(Code.PROTOCOL_ERROR, `${what} on stream ${id}, which nobody opened`);
  }
}
