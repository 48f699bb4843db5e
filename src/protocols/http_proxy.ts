/**
 * The HTTP proxy on a listener: a client's requests, one after another on one connection. CONNECT makes it a tunnel
 * (RFC 9110 section 9.3.6); a request in absolute-form is forwarded (RFC 9112 section 3.2.2).
 *
 * @module
 */
import type { BufferedConn, Context } from "../core/conn.ts";
import { deadline, drive } from "../core/handshake.ts";
import { HeadError, type RequestHead } from "../core/http_head.ts";
import { linger } from "../core/linger.ts";
import type { Inbound, Session, Verdict } from "../core/serve.ts";
import { explain, inHttp1, noTunnels, wrong } from "./http_answers.ts";
import { accept, emptyLines, readRequest } from "./http_connect.ts";
import { Http1Downstream } from "./http_downstream.ts";
import { serveRequest } from "./http_forward.ts";
import { Pool } from "./http_pool.ts";
import { parseRequest, type Request } from "./http_request.ts";

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
    if (head.method === "CONNECT" && session.reverse) {
      const { error, reply } = noTunnels();
      await conn.write(inHttp1(reply));
      throw error;
    }
    if (head.method === "CONNECT") {
      const tunnel = await drive(conn, accept(head, session.gate), ctx, limits);
      arrived();
      await session.tunnel(conn, "http", tunnel);
      return false;
    }
    arrived();
    const client = new Http1Downstream(conn, await this.#parse(head), session);
    this.#known = await serveRequest(client, client.request, session, this.pool) || this.#known;
    if (!client.again) await linger(conn, { signal: session.stopping });
    return client.again;
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
      const { error: failure, reply } = wrong(error.status, error.message, "protocol");
      await this.conn.write(inHttp1(reply));
      throw failure;
    }
  }
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
  unwelcome: (why) => inHttp1(explain(400, "http_request_error", why)),
};
