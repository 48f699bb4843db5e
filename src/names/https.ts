/**
 * DNS over HTTPS (RFC 8484): by HTTP/2, or by HTTP/1.1 where the server wants that.
 *
 * @module
 */
import { BufferedConn, type Context } from "../core/conn.ts";
import { concat } from "../core/bytes.ts";
import type { LayeredConn } from "../core/dialer.ts";
import { ProxyError } from "../core/errors.ts";
import { drive, type Handshake, until, write } from "../core/handshake.ts";
import { responseFraming } from "../core/http_body.ts";
import { formatHead, headEnd, listed, parseResponseHead, type ResponseHead } from "../core/http_head.ts";
import { whole } from "./body.ts";
import { failure } from "./failure.ts";
import { H2Questions } from "./https_h2.ts";

const mediaType = "application/dns-message";
const maxHead = 16 * 1024;
/** Servers close what stays idle; a question on a dead connection costs a second attempt. */
const idleMs = 10_000;

interface Kept {
  readonly conn: BufferedConn;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** A name server behind HTTPS. */
export class HttpsServer {
  #shared: H2Questions | undefined;
  #sharing: Promise<H2Questions | BufferedConn> | undefined;
  /** Connections of HTTP/1.1, one for each question under way. */
  readonly #idle: Kept[] = [];

  constructor(
    readonly open: (ctx: Context) => Promise<LayeredConn>,
    readonly host: string,
    readonly path: string,
  ) {}

  /** Sends a message, and resolves to the answer. */
  async exchange(message: Uint8Array, ctx: Context): Promise<Uint8Array> {
    try {
      return await this.#ask(this.#kept() ?? await this.#connect(ctx), message, ctx);
    } catch (error) {
      // The server may have closed what it had left idle.
      if (!(error instanceof ProxyError) || error.code !== "closed") throw error;
      return await this.#ask(await this.#connect(ctx), message, ctx);
    }
  }

  #kept(): H2Questions | BufferedConn | undefined {
    if (this.#shared?.free) return this.#shared;
    const kept = this.#idle.pop();
    clearTimeout(kept?.timer);
    return kept?.conn;
  }

  /** Who comes while a connection is opened waits for it, and uses it too if it can be shared. */
  async #connect(ctx: Context): Promise<H2Questions | BufferedConn> {
    if (this.#shared?.free) return this.#shared;
    const first = this.#sharing === undefined;
    this.#sharing ??= this.#open(ctx).finally(() => this.#sharing = undefined);
    const opened = await this.#sharing;
    return first || opened instanceof H2Questions ? opened : await this.#open(ctx);
  }

  async #open(ctx: Context): Promise<H2Questions | BufferedConn> {
    const conn = await this.open(ctx);
    if (conn.protocol !== "h2") return BufferedConn.of(conn);
    return this.#shared = await new H2Questions(conn, [
      [":method", "POST"],
      [":scheme", "https"],
      [":authority", this.host],
      [":path", this.path],
      ["accept", mediaType],
      ["content-type", mediaType],
    ]).ready(ctx);
  }

  async #ask(way: H2Questions | BufferedConn, message: Uint8Array, ctx: Context): Promise<Uint8Array> {
    const { status, body } = way instanceof H2Questions
      ? await way.ask(message, ctx)
      : await this.#askHttp1(way, message, ctx);
    if (status !== 200) throw failure(`it answers with the status ${status}`);
    return body;
  }

  async #askHttp1(conn: BufferedConn, message: Uint8Array, ctx: Context) {
    try {
      const head = await drive(conn, post(this.host, this.path, message), ctx, { peer: "upstream" });
      const framing = responseFraming(head, "POST");
      const body = await whole(conn, framing);
      const last = head.minor === 0 || listed(head.fields, "connection").includes("close");
      if (last || framing.kind === "close") conn.close();
      else this.#keep(conn);
      return { status: head.status, body };
    } catch (error) {
      conn.abort();
      throw error;
    }
  }

  #keep(conn: BufferedConn): void {
    const drop = () => {
      this.#idle.splice(this.#idle.indexOf(kept), 1);
      conn.close();
    };
    const kept: Kept = { conn, timer: setTimeout(drop, idleMs) };
    this.#idle.push(kept);
  }
}

function* post(host: string, path: string, message: Uint8Array): Handshake<ResponseHead> {
  const fields = [
    ["Host", host],
    ["Accept", mediaType],
    ["Content-Type", mediaType],
    ["Content-Length", String(message.length)],
  ] as const;
  yield* write(concat(formatHead(`POST ${path} HTTP/1.1`, fields), message));
  return parseResponseHead(yield* until(headEnd, maxHead, "the name server's answer", "resolve"));
}
