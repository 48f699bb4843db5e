/**
 * What an HTTP/2 connection has to send: control frames at once, data in turns and as the peer's windows allow.
 *
 * @module
 */
import type { Conn } from "../core/conn.ts";
import {
  Code,
  ConnectionError,
  defaultWindow,
  Flag,
  frameHeader,
  maxFrame,
  mostWindow,
  Type,
  writeHeader,
} from "./h2_frames.ts";

/** What one stream has to send. */
export interface Sender {
  readonly id: number;
  /** How much the peer takes on this stream. */
  sendWindow: number;
  /** Data to send; it is the outbox's until {@linkcode sent} says that all of it has gone. */
  readonly outgoing: Uint8Array;
  /** These are frames, which no window holds up, instead of data. */
  readonly framed: boolean;
  /** The data is the last. */
  readonly finishing: boolean;
  /** Takes `n` bytes off the front; with `end`, END_STREAM goes out behind them. */
  took(n: number, end: boolean): void;
  /** What was taken so far has been given to the transport. */
  sent(): void;
}

/** About how much goes into one write. */
const batchBytes = 64 * 1024;
/** Answers that a peer asks for and does not read: it gets no more of them. */
const mostControl = 256 * 1024;

/** Writes the frames of all streams over one connection. */
export class Outbox {
  /** How much the peer takes on the whole connection. */
  #window = defaultWindow;
  #control: Uint8Array[] = [];
  #controlBytes = 0;
  /** Those with something to send, in the order of their turns. */
  readonly #ready = new Set<Sender>();
  #pumping = false;
  #count = 0;
  #idle = Promise.resolve();

  constructor(readonly conn: Conn, readonly failed: (error: unknown) => void) {}

  /** Sends a frame before all data. @throws ConnectionError when too many wait already */
  control(bytes: Uint8Array): void {
    this.#controlBytes += bytes.length;
    if (this.#controlBytes > mostControl) {
      throw new ConnectionError(Code.ENHANCE_YOUR_CALM, "the peer does not read what it asks for");
    }
    this.#control.push(bytes);
    this.#start();
  }

  /** A stream has something to send, or may send again. */
  ready(sender: Sender): void {
    this.#ready.add(sender);
    this.#start();
  }

  /** A stream has nothing to send any more. */
  forget(sender: Sender): void {
    this.#ready.delete(sender);
  }

  /** The peer takes more. @throws ConnectionError */
  grow(n: number): void {
    this.#window += n;
    if (this.#window > mostWindow) {
      throw new ConnectionError(Code.FLOW_CONTROL_ERROR, "a window beyond 2^31-1");
    }
    this.#start();
  }

  /** How many frames of data have been sent since this was last asked. */
  takeCount(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }

  /** Resolves when there is nothing to write, or no way to. */
  async flushed(): Promise<void> {
    while (this.#pumping) await this.#idle;
  }

  #start(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#idle = this.#pump();
  }

  async #pump(): Promise<void> {
    // What else is said in this turn goes out in the same write.
    await Promise.resolve();
    try {
      for (let batch = this.#batch(); batch !== null; batch = this.#batch()) {
        await this.conn.write(batch.bytes);
        for (const sender of batch.senders) sender.sent();
      }
      this.#pumping = false;
    } catch (error) {
      this.#pumping = false;
      this.failed(error);
    }
  }

  #batch(): { bytes: Uint8Array; senders: Set<Sender> } | null {
    const control = this.#control;
    const frames = this.#turns();
    const length = frames.reduce(
      (sum, { data, header }) => sum + header + data.length,
      this.#controlBytes,
    );
    if (length === 0) return null;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const piece of control) {
      bytes.set(piece, at);
      at += piece.length;
    }
    this.#control = [];
    this.#controlBytes = 0;
    for (const { sender, header, data, end } of frames) {
      if (header > 0) writeHeader(bytes, at, data.length, Type.DATA, end ? Flag.END_STREAM : 0, sender.id);
      bytes.set(data, at + header);
      at += header + data.length;
    }
    this.#count += frames.length;
    const senders = new Set(frames.map(({ sender }) => sender));
    return { bytes, senders };
  }

  /** Deals frames to the streams in turn; whoever has more, and may send it, is in the next batch again. */
  #turns(): Outgoing[] {
    const frames: Outgoing[] = [];
    let total = 0;
    for (const sender of this.#ready) {
      if (total >= batchBytes) break;
      const rest = sender.outgoing.length;
      if (sender.framed && rest > 0) {
        this.#ready.delete(sender);
        frames.push({ sender, header: 0, data: sender.outgoing, end: sender.finishing });
        total += rest;
        sender.took(rest, sender.finishing);
        continue;
      }
      const n = Math.min(rest, maxFrame, Math.max(0, sender.sendWindow), this.#window);
      // Where the connection's window is empty, the stream keeps its turn.
      if (n === 0 && rest > 0 && sender.sendWindow > 0) continue;
      this.#ready.delete(sender);
      const end = sender.finishing && n === rest;
      if (n === 0 && !end) continue; // the stream's own window is empty: what opens it makes the stream ready
      sender.sendWindow -= n;
      this.#window -= n;
      frames.push({ sender, header: frameHeader, data: sender.outgoing.subarray(0, n), end });
      total += n;
      sender.took(n, end);
      // To the end of the set, which this loop has yet to come to: a lonely stream fills the batch by itself.
      if (n < rest) this.#ready.add(sender);
    }
    return frames;
  }
}

interface Outgoing {
  readonly sender: Sender;
  /** The length of the header that the data has yet to get. */
  readonly header: number;
  readonly data: Uint8Array;
  readonly end: boolean;
}
