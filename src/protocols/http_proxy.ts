/**
 * The HTTP proxy on a listener: a client's requests, one after another on one connection. CONNECT makes it a tunnel
 * (RFC 9110 section 9.3.6); a request in absolute-form is forwarded (RFC 9112 section 3.2.2).
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import type { BufferedConn, Context } from "../core/conn.ts";
import { deadline, drive } from "../core/handshake.ts";
import { formatHead, HeadError, type RequestHead } from "../core/http_head.ts";
import { linger } from "../core/linger.ts";
import type { Inbound, Session, Verdict } from "../core/serve.ts";
import { answer, type AnswerOptions } from "./http_answers.ts";
import { accept, emptyLines, readRequest } from "./http_connect.ts";
import { admission } from "./http_credentials.ts";
import { forward } from "./http_exchange.ts";
import { Pool } from "./http_pool.ts";
import { reply, wrong } from "./http_refusal.ts";
import {
  type Destination,
  destinationOf,
  maxForwards,
  parseRequest,
  Refusal,
  type Request,
} from "./http_request.ts";

/** How long a connection may be silent between two requests, at most. */
const longestPause = 60_000;

/** Serves a client's requests until it ends, asks for a tunnel, or its connection is good for no more. */
async function handle(conn: BufferedConn, session: Session): Promise<void> {
  const client = new Client(conn, session);
  try {
    if (await client.serve(session.handshake)) {
      while (await client.pause()) {
        const { ctx, done } = deadline({ signal: session.stopping }, session.timeouts.handshake);
        try {
          if (!(await client.serve(ctx, done))) return;
        } finally {
          done();
        }
      }
    }
  } finally {
    client.pool.close();
  }
}

class Client {
  readonly pool = new Pool();
  /** It has passed the gate; until then its patience is short. */
  #known = false;

  constructor(readonly conn: BufferedConn, readonly session: Session) {}

  /** Serves one request; `true` when another one may follow. */
  async serve(ctx: Context, arrived = () => {}): Promise<boolean> {
    const { conn, session } = this;
    const limits = { peer: "client", maxBytes: session.maxBytes } as const;
    const head = await drive(conn, readRequest(), ctx, limits);
    if (head.method === "CONNECT") {
      const tunnel = await drive(conn, accept(head, session.gate), ctx, limits);
      arrived();
      await session.tunnel(conn, "http", tunnel);
      return false;
    }
    arrived();
    const again = await this.#plain(await this.#parse(head));
    if (!again) await linger(conn);
    return again;
  }

  /** Waits for the next request's first byte; `false` when there will be none. */
  async pause(): Promise<boolean> {
    const { conn, session: { timeouts, retired, stopping } } = this;
    if (conn.buffered.length > 0) return !retired.aborted;
    const close = () => conn.close();
    const timer = setTimeout(close, this.#known ? Math.min(timeouts.idle, longestPause) : timeouts.handshake);
    const signals = [retired, stopping];
    for (const signal of signals) signal.addEventListener("abort", close);
    if (signals.some((signal) => signal.aborted)) close();
    try {
      return await conn.fill();
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", close);
    }
  }

  /** Framing that has two readings ends the connection: where the next request begins is not known. */
  async #parse(head: RequestHead): Promise<Request> {
    try {
      return parseRequest(head);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      const { error: failure, words } = wrong(error.status, error.message, "protocol");
      await this.conn.write(words());
      throw failure;
    }
  }

  async #plain(request: Request): Promise<boolean> {
    const { conn, session } = this;
    const { head } = request;
    const admitted = admission(session.gate, head.fields);
    if (!admitted.admitted) {
      session.refused(wrong(407, admitted.why + admitted.who, "auth").error);
      return await reply(conn, request, session, wrong(407, admitted.why, "auth").words);
    }
    this.#known = true;
    let place: Destination;
    try {
      if (head.method === "OPTIONS" && head.target === "*") {
        return await reply(conn, request, session, (options) => ownAnswer(head, options));
      }
      place = destinationOf(request);
      if (maxForwards(head) === 0) {
        return await reply(conn, request, session, (options) => ownAnswer(head, options));
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return await this.#refuse(request, error);
    }
    return await forward(conn, request, place, admitted.user, session, this.pool);
  }

  async #refuse(request: Request, { status, message, code, fatal }: Refusal): Promise<boolean> {
    const { conn, session } = this;
    const { error, words } = wrong(status, message, code);
    if (!fatal) {
      session.refused(error);
      return await reply(conn, request, session, words);
    }
    await conn.write(words());
    throw error;
  }
}

/** What is never repeated to whoever traces a request. */
const secrets = ["authorization", "proxy-authorization", "cookie"];

/** OPTIONS and TRACE that end here: what can be asked, and what was (RFC 9110 sections 9.3.7 and 9.3.8). */
function ownAnswer({ method, target, minor, fields }: RequestHead, { keep }: AnswerOptions): Uint8Array {
  const connection = keep ? [] : [["Connection", "close"] as const];
  if (method === "OPTIONS") {
    return formatHead("HTTP/1.1 200 OK", [
      ["Allow", "CONNECT, OPTIONS"],
      ["Content-Length", "0"],
      ...connection,
    ]);
  }
  const told = fields.filter(([name]) => !secrets.includes(name));
  const body = formatHead(`TRACE ${target} HTTP/1.${minor}`, told);
  const head = formatHead("HTTP/1.1 200 OK", [
    ["Content-Type", "message/http"],
    ["Content-Length", String(body.length)],
    ...connection,
  ]);
  return concat(head, body);
}

/** How HTTP/2 begins, which looks like a request of HTTP/1 on purpose (RFC 9113 section 3.4). */
const http2 = new TextEncoder().encode("PRI * HTTP/2.0");

/** An empty line or two, then a method and a space, but not HTTP/2's. */
function match(head: Uint8Array): Verdict {
  if (head.subarray(0, http2.length).every((byte, index) => byte === http2[index])) {
    return head.length < http2.length ? "more" : "no";
  }
  let at = emptyLines(head, 4);
  if (at < 4 && head[at] === 13 && at + 1 === head.length) return "more";
  for (let length = 0; at < head.length; at++, length++) {
    if (head[at] === 32 && length > 0) return "yes";
    if (length === 32 || !isTokenByte(head[at])) return "no";
  }
  return "more";
}

function isTokenByte(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a || byte >= 0x61 && byte <= 0x7a || byte >= 0x30 && byte <= 0x39 ||
    "!#$%&'*+-.^_`|~".includes(String.fromCharCode(byte));
}

/** An HTTP proxy on a listener. */
export const httpProxy: Inbound = {
  matcher: { name: "http", match },
  handler: { handle },
  unwelcome: (why) => answer(400, "http_request_error", why),
};
