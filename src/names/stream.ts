/**
 * DNS over TCP and over TLS (RFC 7766, RFC 7858): one connection, many questions.
 *
 * @module
 */
import { BufferedConn, type Conn, type Context } from "../core/conn.ts";
import { asProxyError, ProxyError } from "../core/errors.ts";
import { unlessAborted } from "../core/scope.ts";

/** Opens a connection to the server. */
export type Open = (ctx: Context) => Promise<Conn>;

/** How long a connection is kept without a question, in milliseconds. */
const idleMs = 10_000;

/** A name server behind a stream; its connection is opened when it is needed. */
export class StreamServer {
  #pipe: Pipe | undefined;
  #opening: Promise<Pipe> | undefined;

  constructor(readonly open: Open) {}

  /** Sends a message, and resolves to the answer. */
  async exchange(message: Uint8Array, ctx: Context): Promise<Uint8Array> {
    const reused = this.#pipe?.alive ? this.#pipe : undefined;
    if (reused !== undefined) {
      try {
        return await reused.exchange(message, ctx);
      } catch (error) {
        // The server may have closed what it had left idle.
        if (reused.alive) throw error;
      }
    }
    this.#opening ??= this.#connect(ctx).finally(() => this.#opening = undefined);
    return await (await this.#opening).exchange(message, ctx);
  }

  async #connect(ctx: Context): Promise<Pipe> {
    return this.#pipe = new Pipe(await this.open(ctx));
  }
}

class Pipe {
  alive = true;
  readonly #conn: BufferedConn;
  readonly #waiting = new Map<number, PromiseWithResolvers<Uint8Array>>();
  #writing: Promise<void> = Promise.resolve();
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(conn: Conn) {
    this.#conn = BufferedConn.of(conn);
    this.#listen();
  }

  async exchange(message: Uint8Array, ctx: Context): Promise<Uint8Array> {
    clearTimeout(this.#idle);
    const id = this.#freeId();
    const waiting = Promise.withResolvers<Uint8Array>();
    this.#waiting.set(id, waiting);
    try {
      const writing = this.#writing.then(() => this.#conn.write(framed(message, id)));
      this.#writing = writing.catch((error) => this.#end(error));
      return await unlessAborted(waiting.promise, ctx);
    } finally {
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) this.#idle = setTimeout(() => this.#end(closed()), idleMs);
    }
  }

  #freeId(): number {
    for (;;) {
      const [id] = crypto.getRandomValues(new Uint16Array(1));
      if (!this.#waiting.has(id)) return id;
    }
  }

  async #listen(): Promise<void> {
    try {
      for (;;) {
        const [high, low] = await this.#take(2);
        const message = await this.#take(high << 8 | low);
        const id = message[0] << 8 | message[1];
        this.#waiting.get(id)?.resolve(message);
      }
    } catch (error) {
      this.#end(error);
    }
  }

  async #take(n: number): Promise<Uint8Array> {
    while (this.#conn.buffered.length < n) if (!(await this.#conn.fill())) throw closed();
    return this.#conn.consume(n).slice();
  }

  #end(error: unknown): void {
    if (!this.alive) return;
    this.alive = false;
    clearTimeout(this.#idle);
    this.#conn.close();
    const failure = asProxyError(error, { code: "closed", side: "upstream", stage: "resolve" });
    for (const { reject } of this.#waiting.values()) reject(failure);
  }
}

function framed(message: Uint8Array, id: number): Uint8Array {
  const frame = new Uint8Array(2 + message.length);
  frame.set([message.length >> 8, message.length & 0xff]);
  frame.set(message, 2);
  frame.set([id >> 8, id & 0xff], 2);
  return frame;
}

function closed(): ProxyError {
  return new ProxyError("it closed the connection", { code: "closed", side: "upstream", stage: "resolve" });
}
