/**
 * DNS over HTTPS by HTTP/2: one connection, a stream for each question.
 *
 * @module
 */
import { BufferedConn, type Conn, type Context } from "../core/conn.ts";
import type { Field } from "../core/http_head.ts";
import { Scope, unlessAborted } from "../core/scope.ts";
import { H2Connection } from "../protocols/h2_connection.ts";
import { Code } from "../protocols/h2_frames.ts";
import type { H2Stream } from "../protocols/h2_stream.ts";
import { whole } from "./body.ts";

const window = 64 * 1024;
/** How long a connection is kept without a question, in milliseconds. */
const idleMs = 10_000;

/** A connection to a name server that speaks HTTP/2. */
export class H2Questions {
  readonly #connection: H2Connection;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(conn: Conn, readonly head: readonly Field[]) {
    this.#connection = new H2Connection(conn, {
      role: "client",
      window,
      maxHeader: 16 * 1024,
      maxStreams: 0,
      headers: (stream, fields) => this.#answered(stream, fields),
      changed: () => this.#changed(),
    });
    this.#connection.run();
  }

  /** Waits for the server's settings. */
  async ready(ctx: Context): Promise<this> {
    const scope = new Scope(ctx, { abort: (reason) => this.#connection.abort(reason) });
    try {
      await this.#connection.ready;
      return this;
    } finally {
      scope.leave();
    }
  }

  /** There is room for another question. */
  get free(): boolean {
    const { leaving, closed, streams, peerStreams } = this.#connection;
    return !leaving && !closed && streams.size < peerStreams;
  }

  /** Asks, and resolves to the status and the body of the answer. */
  async ask(message: Uint8Array, ctx: Context): Promise<{ status: number; body: Uint8Array }> {
    const stream = this.#connection.open([...this.head, ["content-length", String(message.length)]]);
    try {
      return await unlessAborted(converse(stream, message), ctx);
    } finally {
      stream.abort();
    }
  }

  #answered(stream: H2Stream, fields: Field[] | null): void {
    const status = fields?.find(([name]) => name === ":status")?.[1] ?? "";
    if (/^1\d\d$/.test(status)) return;
    // What comes behind the answer are trailers, which say nothing here.
    if (stream.answered && fields !== null) return;
    if (fields === null || !/^[2-5]\d\d$/.test(status)) {
      return this.#connection.misused(stream, Code.PROTOCOL_ERROR, "HEADERS that are no answer");
    }
    stream.answered = true;
    stream.head.resolve(fields);
  }

  #changed(): void {
    clearTimeout(this.#idle);
    if (this.#connection?.closed !== false || this.#connection.streams.size > 0) return;
    this.#idle = setTimeout(() => this.#connection.close(), idleMs);
  }
}

async function converse(
  stream: H2Stream,
  message: Uint8Array,
): Promise<{ status: number; body: Uint8Array }> {
  await stream.write(message);
  await stream.closeWrite();
  const fields = await stream.head.promise;
  const status = Number(fields.find(([name]) => name === ":status")![1]);
  return { status, body: await whole(BufferedConn.of(stream), { kind: "close" }) };
}
