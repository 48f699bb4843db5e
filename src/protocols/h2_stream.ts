/**
 * One stream of an HTTP/2 connection as a connection of its own (RFC 9113 section 8.5): END_STREAM is its FIN,
 * RST_STREAM its reset, and the peer may send more only when what it sent has been taken away.
 *
 * @module
 */
import type { Conn, Endpoint } from "../core/conn.ts";
import type { Field } from "../core/http_head.ts";
import { Code, ConnectionError, headersFrames, mostWindow } from "./h2_frames.ts";
import type { Outbox, Sender } from "./h2_outbox.ts";

/** What a stream needs of its connection. */
export interface Carrier {
  readonly conn: Conn;
  readonly outbox: Outbox;
  /** How much a stream takes before it is read from. */
  readonly window: number;
  /** What a stream is reset with that was aborted, and one that was closed while its peer still talks. */
  readonly resetCodes: { readonly aborted: number; readonly closed: number };
  /** Sends RST_STREAM. */
  reset(stream: H2Stream, code: number): void;
  /** Lets the peer send `n` bytes more on a stream. */
  credit(stream: H2Stream, n: number): void;
  /** The stream gets its first fields from us, which are an answer. */
  answering(stream: H2Stream): void;
  /** The stream has ended both ways, or was reset. */
  gone(stream: H2Stream): void;
}

const nothing = new Uint8Array(0);
/** How long a stream that we close may take to send what it still holds. */
const lingerMs = 5000;

/** The body of a request. */
export interface Body {
  /** How much is to come; without a length, anything may. */
  due: number | undefined;
  trailers: readonly Field[];
}

interface Waiting<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

export class H2Stream implements Conn, Sender {
  readonly localAddr: Endpoint | null;
  readonly remoteAddr: Endpoint | null;
  sendWindow: number;
  /** How much the peer may still send. */
  receiveWindow: number;
  outgoing: Uint8Array = nothing;
  framed = false;
  /** At a server: what is to come of a request's body. A tunnel has none, and no trailers. */
  body: Body | null = null;
  /** The head of the answer has gone out, or come in. */
  answered = false;
  /** At a client: the fields of the answer. */
  readonly head = Promise.withResolvers<Field[]>();
  /** No more data will be given to send. */
  finishing = false;
  #finished = false;
  #writing: Waiting<void> | null = null;
  #finish: Promise<void> | null = null;
  #finishWaiting: Waiting<void> | null = null;
  /** What has come and was not read: one growing buffer, so that many small frames take no more than their bytes. */
  #buffer = nothing;
  #start = 0;
  #end = 0;
  #reading: (Waiting<number | null> & { readonly p: Uint8Array }) | null = null;
  /** Bytes that the last read gave away; when the next one is asked for, its sink has taken them. */
  #lent = 0;
  /** Bytes that were taken, and that the peer has not been told of. */
  #taken = 0;
  #peerEnded = false;
  #error: unknown = undefined;
  #failed = false;
  #lost: ((error: unknown) => void) | null = null;

  constructor(readonly id: number, readonly carrier: Carrier, sendWindow: number) {
    this.localAddr = carrier.conn.localAddr;
    this.remoteAddr = carrier.conn.remoteAddr;
    this.sendWindow = sendWindow;
    this.receiveWindow = carrier.window;
    this.head.promise.catch(() => {});
  }

  /** The peer has sent END_STREAM. */
  get peerEnded(): boolean {
    return this.#peerEnded;
  }

  /** Why it was cut, if it was. */
  get failure(): unknown {
    return this.#error;
  }

  /** Tells when the stream is cut, by whomever, and at once when it has been. */
  whenLost(tell: ((error: unknown) => void) | null): void {
    this.#lost = tell;
    if (this.#failed) tell?.(this.#error);
  }

  // --- what the connection says ---------------------------------------------------------------------------------

  /** The peer's data; `flow` counts its padding too. @throws ConnectionError */
  deliver(data: Uint8Array, flow: number): void {
    this.receiveWindow -= flow;
    if (this.receiveWindow < 0) {
      throw new ConnectionError(Code.FLOW_CONTROL_ERROR, `stream ${this.id} got more than its window`);
    }
    this.#taken += flow - data.length;
    if (this.#reading !== null && data.length > 0) {
      const { p, resolve } = this.#reading;
      this.#reading = null;
      const n = Math.min(p.length, data.length);
      p.set(data.subarray(0, n));
      data = data.subarray(n);
      this.#lent = n;
      resolve(n);
    }
    if (data.length > 0) this.#store(data);
  }

  /** Whether so much may come now of a body whose length was declared (section 8.1.1). */
  fits(length: number, last: boolean): boolean {
    if (this.body?.due === undefined) return true;
    this.body.due -= length;
    return last ? this.body.due === 0 : this.body.due >= 0;
  }

  /** The peer's END_STREAM. */
  end(): void {
    this.#peerEnded = true;
    this.#reading?.resolve(null);
    this.#reading = null;
    if (this.#finished) this.carrier.gone(this);
  }

  /** It was reset, or its connection is gone: what came stays readable, behind it `error`. */
  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#error = error;
    this.carrier.outbox.forget(this);
    this.outgoing = nothing;
    this.head.reject(error);
    if (!this.#peerEnded) this.#reading?.reject(error);
    this.#writing?.reject(error);
    this.#finishWaiting?.reject(error);
    this.#reading = this.#writing = this.#finishWaiting = null;
    this.carrier.gone(this);
    this.#lost?.(error);
  }

  /** The peer takes `n` bytes more (or, after a change of its settings, fewer); `false` when that is too many. */
  grow(n: number): boolean {
    this.sendWindow += n;
    if (this.sendWindow > mostWindow) return false;
    if (this.outgoing.length > 0) this.carrier.outbox.ready(this);
    return true;
  }

  // --- what the outbox says -------------------------------------------------------------------------------------

  took(n: number, end: boolean): void {
    this.outgoing = this.outgoing.subarray(n);
    this.#finished = end;
  }

  sent(): void {
    if (this.outgoing.length === 0) {
      this.#writing?.resolve();
      this.#writing = null;
    }
    if (!this.#finished) return;
    this.#finishWaiting?.resolve();
    this.#finishWaiting = null;
    if (this.#peerEnded) this.carrier.gone(this);
  }

  // --- what its user says ---------------------------------------------------------------------------------------

  read(p: Uint8Array): Promise<number | null> {
    this.#credit();
    if (this.#end > this.#start) return Promise.resolve(this.#take(p));
    if (this.#peerEnded) return Promise.resolve(null);
    if (this.#failed) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => this.#reading = { p, resolve, reject });
  }

  write(p: Uint8Array): Promise<void> {
    return p.length === 0 && !this.#failed ? Promise.resolve() : this.#send(p, false);
  }

  /** Sends fields, in their turn; with `last` the stream ends behind them. Resolves to their size when they have gone. */
  async sendFields(fields: readonly Field[], last: boolean): Promise<number> {
    if (!this.answered) this.carrier.answering(this);
    const frames = headersFrames(this.id, fields, last);
    const sent = this.#send(frames, true);
    if (last && !this.#failed) {
      this.finishing = true;
      this.#finish = sent;
    }
    await sent;
    return frames.length;
  }

  #send(bytes: Uint8Array, framed: boolean): Promise<void> {
    if (this.#failed) return Promise.reject(this.#error);
    if (this.finishing) return Promise.reject(new Error("the stream has been ended"));
    return new Promise((resolve, reject) => {
      this.outgoing = bytes;
      this.framed = framed;
      this.#writing = { resolve, reject };
      this.carrier.outbox.ready(this);
    });
  }

  closeWrite(): Promise<void> {
    if (this.#finish !== null) return this.#finish;
    if (this.#failed) return Promise.reject(this.#error);
    this.finishing = true;
    return this.#finish = new Promise((resolve, reject) => {
      this.#finishWaiting = { resolve, reject };
      this.carrier.outbox.ready(this);
    });
  }

  close(): void {
    if (this.#failed || this.#finished && this.#peerEnded) return;
    const timer = setTimeout(() => this.abort(), lingerMs);
    this.closeWrite().catch(() => {}).finally(() => {
      clearTimeout(timer);
      // Nobody reads what the peer may still have to say.
      if (!this.#peerEnded) this.cut(this.carrier.resetCodes.closed);
    });
  }

  abort(): void {
    this.cut(this.carrier.resetCodes.aborted);
  }

  /** Resets it, unless it has ended both ways. */
  cut(code: number): void {
    if (this.#failed || this.#finished && this.#peerEnded) return;
    this.carrier.reset(this, code);
    this.fail(new Error("the stream is closed"));
  }

  // --- flow control ---------------------------------------------------------------------------------------------

  #store(data: Uint8Array): void {
    if (this.#end + data.length > this.#buffer.length) {
      const stored = this.#end - this.#start;
      const roomy = new Uint8Array(
        Math.max(1024, Math.min(2 * (stored + data.length), this.carrier.window + 1024)),
      );
      roomy.set(this.#buffer.subarray(this.#start, this.#end));
      this.#buffer = roomy;
      this.#start = 0;
      this.#end = stored;
    }
    this.#buffer.set(data, this.#end);
    this.#end += data.length;
  }

  #take(p: Uint8Array): number {
    const n = Math.min(p.length, this.#end - this.#start);
    p.set(this.#buffer.subarray(this.#start, this.#start + n));
    this.#start += n;
    this.#lent = n;
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      this.#buffer = nothing;
    }
    return n;
  }

  #credit(): void {
    this.#taken += this.#lent;
    this.#lent = 0;
    if (this.#taken < this.carrier.window / 4 || this.#peerEnded || this.#failed) return;
    this.receiveWindow += this.#taken;
    this.carrier.credit(this, this.#taken);
    this.#taken = 0;
  }
}
