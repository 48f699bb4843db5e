/**
 * The client's side of one exchange: what a request and its response need of whichever version of HTTP the client
 * speaks, and HTTP/1's way of it.
 *
 * @module
 */
import type { BufferedConn, Conn } from "../core/conn.ts";
import { asProxyError, type ProxyError } from "../core/errors.ts";
import { deadline, drive, read } from "../core/handshake.ts";
import { chunk, type Framing, framingFields, lastChunk, readBody } from "../core/http_body.ts";
import { type Field, fieldValues, formatHead, type ResponseHead } from "../core/http_head.ts";
import type { Session } from "../core/serve.ts";
import { inHttp1, type Reply } from "./http_answers.ts";
import { closes } from "./http_fields.ts";
import type { Request } from "./http_request.ts";
import { finalFields, informationalFields, upgradeFields } from "./http_response.ts";

/** The client's side of one exchange. What it sends says how many bytes that took. */
export interface Downstream {
  /** What the log calls it. */
  readonly protocol: string;
  /** Tells `watcher` of a client that goes away, until that is over or the body is read, and again behind the body. */
  watch(watcher: Watcher): void;
  /** The request's body, as it comes, and its trailers. A piece is valid until the next one is asked for. */
  body(): AsyncGenerator<Uint8Array, readonly Field[]>;
  /** Passes on a response before the final one. */
  inform(response: ResponseHead): Promise<number>;
  /** Passes on the head of the final response. */
  respond(response: ResponseHead, framing: Framing): Promise<number>;
  /** Passes on a piece of the final response's body. */
  send(piece: Uint8Array): Promise<number>;
  /** Ends the final response, which was whole. */
  finish(trailers: readonly Field[]): Promise<number>;
  /** Passes on the 101 behind which the connection is the client's own. */
  upgrade(response: ResponseHead): Promise<Conn>;
  /** Answers in the place of a final response; with `last` nothing more is taken from the client. Never fails. */
  answer(reply: Reply, last?: boolean): Promise<void>;
  /** Cuts a response short, so that nobody takes it for whole. */
  abort(): void;
}

/** Who wants to know about a client. */
export interface Watcher {
  readonly over: boolean;
  /** It has nothing more to say. */
  ended(): void;
  gone(error: ProxyError): void;
}

/** What a client may send ahead while it waits; what is more stays in its socket. */
const maxAhead = 64 * 1024;
/** The longest body that is read away for the sake of the connection. */
const maxDrained = 64 * 1024;

/** One exchange on a client's connection of HTTP/1. */
export class Http1Downstream implements Downstream {
  readonly protocol = "http";
  /** The connection is good for another request. */
  again = false;
  #body: "untouched" | "begun" | "whole";
  #chunked = false;
  #ended = false;
  #watcher: Watcher | undefined;
  #watching = false;

  constructor(readonly conn: BufferedConn, readonly request: Request, readonly session: Session) {
    this.#body = request.framing.kind === "none" ? "whole" : "untouched";
  }

  watch(watcher: Watcher): void {
    this.#watcher = watcher;
    this.#watch(watcher);
  }

  /** What the client sends ahead stays for who reads next. */
  async #watch(watcher: Watcher): Promise<void> {
    if (this.#watching) return;
    this.#watching = true;
    const { conn } = this;
    try {
      while (!watcher.over && this.#body !== "begun" && conn.buffered.length < maxAhead) {
        if (await conn.fill()) continue;
        this.#ended = true;
        watcher.ended();
        break;
      }
    } catch (error) {
      watcher.gone(asProxyError(error, { code: "closed", side: "client", stage: "relay" }));
    }
    this.#watching = false;
  }

  async *body(): AsyncGenerator<Uint8Array, readonly Field[]> {
    if (this.#body === "whole") return [];
    this.#body = "begun";
    const trailers = yield* readBody(this.conn, this.request.framing, "client");
    this.#body = "whole";
    if (this.#watcher !== undefined) this.#watch(this.#watcher);
    return trailers;
  }

  async inform(response: ResponseHead): Promise<number> {
    // A client of HTTP/1.0 knows of no such thing.
    if (this.request.head.minor === 0) return 0;
    return await this.#write(head(response, informationalFields(response)));
  }

  async respond(response: ResponseHead, framing: Framing): Promise<number> {
    const { method, minor } = this.request.head;
    this.#chunked = minor === 1 && (framing.kind === "chunked" || framing.kind === "close");
    // A body that is still on its way may never come to its end, and then no other request begins behind it.
    this.again = this.#body === "whole" && this.#more;
    const fields = finalFields(response, framing, method, this.#chunked);
    if (this.#chunked) fields.push(...framingFields({ kind: "chunked" }));
    if (!this.again) fields.push(["Connection", "close"]);
    return await this.#write(head(response, fields));
  }

  send(piece: Uint8Array): Promise<number> {
    return this.#write(this.#chunked ? chunk(piece) : piece);
  }

  async finish(trailers: readonly Field[]): Promise<number> {
    return this.#chunked ? await this.#write(lastChunk(trailers)) : 0;
  }

  async upgrade(response: ResponseHead): Promise<Conn> {
    // Should the client be gone, the relay finds out.
    await this.#write(head(response, upgradeFields(response))).catch(() => {});
    return this.conn;
  }

  async answer(reply: Reply, last = false): Promise<void> {
    const { conn, request: { head }, session } = this;
    const rest = this.#body === "whole" ? 0 : this.#drainable;
    this.again = !last && rest !== undefined && this.#more;
    try {
      await conn.write(inHttp1(reply, { keep: this.again, headOnly: head.method === "HEAD" }));
      if (this.again && rest) await drain(conn, rest, session);
    } catch {
      this.again = false; // there is nobody to tell
    }
  }

  abort(): void {
    this.conn.abort();
  }

  async #write(bytes: Uint8Array): Promise<number> {
    await this.conn.write(bytes);
    return bytes.length;
  }

  /** Another request may follow, or has come already. */
  get #more(): boolean {
    const { conn, request, session } = this;
    return !closes(request.head) && !session.retired.aborted && (!this.#ended || conn.buffered.length > 0);
  }

  /** How long a body is that is sure to come, and soon. */
  get #drainable(): number | undefined {
    const { head, framing } = this.request;
    if (this.#body === "begun" || framing.kind !== "length" || framing.length > maxDrained) return undefined;
    return framing.length > 0 && fieldValues(head.fields, "expect").length > 0 ? undefined : framing.length;
  }
}

function head({ status, reason }: ResponseHead, fields: readonly Field[]): Uint8Array {
  return formatHead(`HTTP/1.1 ${status} ${reason}`, fields);
}

async function drain(conn: BufferedConn, length: number, session: Session): Promise<void> {
  const { ctx, done } = deadline({ signal: session.stopping }, session.timeouts.handshake);
  try {
    await drive(conn, read(length, "the body of a refused request"), ctx, { peer: "client" });
  } finally {
    done();
  }
}
