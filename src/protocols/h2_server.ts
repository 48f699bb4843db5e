/**
 * HTTP/2 on a listener: every CONNECT stream is a tunnel of its own (RFC 9113 section 8.5), every other a request that
 * is forwarded as one of HTTP/1 is.
 *
 * A request that breaks HTTP/2's rules gets RST_STREAM; one that can't be served gets an answer with words. Neither
 * harms its siblings on the connection.
 *
 * @module
 */
import { parseEndpoint } from "../core/address.ts";
import { concat } from "../core/bytes.ts";
import type { BufferedConn, Endpoint } from "../core/conn.ts";
import { asProxyError, type ErrorCode, ProxyError } from "../core/errors.ts";
import { interrupted } from "../core/handshake.ts";
import { type Framing, requestFraming } from "../core/http_body.ts";
import type { Field } from "../core/http_head.ts";
import { Scope } from "../core/scope.ts";
import type { Handler, Inbound, Session, Verdict, Way } from "../core/serve.ts";
import { H2Connection } from "./h2_connection.ts";
import { H2Downstream } from "./h2_downstream.ts";
import { Code, ConnectionError, goawayFrame, preface, settingsFrame } from "./h2_frames.ts";
import { malformedTrailers, parseRequest, type Request } from "./h2_request.ts";
import type { Body, H2Stream } from "./h2_stream.ts";
import { explainFailure, noTunnels, type Wrong, wrong } from "./http_answers.ts";
import { admission } from "./http_credentials.ts";
import { serveRequest } from "./http_forward.ts";
import { Pool } from "./http_pool.ts";

/** Limits of one client's connection. */
export interface H2ServerOptions {
  /** Streams at a time, those counted that were reset while they were being dialled for. */
  readonly maxStreams: number;
  /** Milliseconds that a connection may have no stream. */
  readonly idle: number;
  /** Bytes that each stream may send before its target has taken them. */
  readonly window: number;
}

const defaults: H2ServerOptions = { maxStreams: 256, idle: 120_000, window: 256 * 1024 };

/** Serves HTTP/2 connections. */
export function h2Handler(options: H2ServerOptions = defaults): Handler {
  return { handle: (conn, session) => new Client(conn, session, options).run() };
}

class Client {
  readonly #connection: H2Connection;
  readonly #serving = new Set<Promise<void>>();
  readonly #pool = new Pool();
  readonly #patience: number;
  #asked = false;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(conn: BufferedConn, readonly session: Session, readonly options: H2ServerOptions) {
    const { maxStreams, window } = options;
    this.#patience = session.timeouts.handshake;
    this.#connection = new H2Connection(conn, {
      role: "server",
      window,
      maxHeader: session.maxBytes,
      maxStreams,
      headers: (stream, fields, end) => this.#fields(stream, fields, end),
      changed: () => this.#rest(),
    });
  }

  async run(): Promise<void> {
    const { handshake, retired, stopping } = this.session;
    const connection = this.#connection;
    let late: unknown;
    const watches: readonly [AbortSignal, () => void][] = [
      [handshake.signal, () => {
        if (this.#asked) return;
        late = interrupted(handshake.signal.reason, "the first HTTP/2 request", "client", "request");
        connection.close();
      }],
      [retired, () => connection.goaway()],
      [stopping, () => connection.close()],
    ];
    for (const [signal, act] of watches) {
      if (signal.aborted) act();
      signal.addEventListener("abort", act);
    }
    const failure = await connection.run();
    await Promise.all(this.#serving);
    this.#pool.close();
    clearTimeout(this.#idle);
    for (const [signal, act] of watches) signal.removeEventListener("abort", act);
    if (late !== undefined) throw late;
    if (failure instanceof ConnectionError) throw client("protocol", failure.message);
    if (failure !== undefined && !this.#asked) throw failure;
  }

  /** With nothing to do, the connection is closed: after a while, or at once when it takes no more. */
  #rest(): void {
    clearTimeout(this.#idle);
    const connection = this.#connection;
    if (connection === undefined || connection.closed || connection.streams.size > 0) return;
    if (connection.leaving) connection.close();
    else this.#idle = setTimeout(() => connection.close(), this.options.idle);
  }

  #fields(stream: H2Stream, fields: Field[] | null, end: boolean): void {
    if (stream.body !== null) return this.#trailers(stream, stream.body, fields);
    if (fields === null) {
      const { error, reply } = wrong(431, "the header fields are too large", "protocol");
      this.session.refused(error);
      return void new H2Downstream(stream, "", this.#patience).answer(reply);
    }
    const request = parseRequest(fields);
    const framing = typeof request === "string" ? request : framingOf(request, end);
    if (typeof request === "string" || typeof framing === "string") {
      return this.#connection.misused(stream, Code.PROTOCOL_ERROR, String(framing));
    }
    this.#asked = true;
    if (this.#serving.size >= this.options.maxStreams) {
      return this.#connection.misused(stream, Code.REFUSED_STREAM, "more streams than were allowed");
    }
    const serving = this.#serve(stream, request, framing).catch(() => stream.abort());
    this.#serving.add(serving);
    serving.finally(() => this.#serving.delete(serving));
  }

  #trailers(stream: H2Stream, body: Body, fields: Field[] | null): void {
    const why = fields === null ? "trailers that are too large" : malformedTrailers(fields);
    if (why !== undefined) return this.#connection.misused(stream, Code.PROTOCOL_ERROR, why);
    body.trailers = fields!;
  }

  async #serve(stream: H2Stream, { method, target, fields }: Request, framing: Framing): Promise<void> {
    const client = new H2Downstream(stream, method, this.#patience);
    if (method === "CONNECT") return await this.#connect(stream, client, target, fields);
    if (framing.kind !== "none") {
      stream.body = { due: framing.kind === "length" ? framing.length : undefined, trailers: [] };
    }
    const request = { head: { method, target, minor: 1, fields }, version: "2", framing };
    await serveRequest(client, request, this.session, this.#pool);
  }

  async #connect(
    stream: H2Stream,
    client: H2Downstream,
    authority: string,
    fields: readonly Field[],
  ): Promise<void> {
    const { session } = this;
    const refuse = ({ error, reply }: Wrong) => {
      session.refused(error);
      return client.answer(reply);
    };
    if (session.reverse) return await refuse(noTunnels());
    const admitted = await admission(session.gate, fields);
    if (!admitted.admitted) return await refuse(wrong(407, admitted.why, "auth", admitted.who));
    let target: Endpoint;
    try {
      target = parseEndpoint(authority);
    } catch (error) {
      return await refuse(wrong(400, `CONNECT wants host:port: ${(error as Error).message}`, "address"));
    }
    const dialing = new Scope();
    stream.whenLost((error) => {
      dialing.abort(asProxyError(error, { code: "closed", side: "client", stage: "request" }));
    });
    let way: Way;
    try {
      way = await session.open("h2", { target, user: admitted.user }, dialing);
    } catch (failure) {
      return await client.answer(explainFailure(failure as ProxyError));
    }
    stream.whenLost(null);
    // Should the stream be gone, the relay finds out.
    await stream.sendFields([[":status", "200"]], false).catch(() => {});
    await way.relay(stream);
  }
}

/** How the body of a request ends: with END_STREAM, and where a length is declared, at that. @returns or what is wrong */
function framingOf({ method, fields }: Request, end: boolean): Framing | string {
  if (method === "CONNECT") return { kind: "none" };
  try {
    const declared = requestFraming({ method, target: "", minor: 1, fields });
    if (!end) return declared.kind === "length" ? declared : { kind: "chunked" };
    const nothing = declared.kind === "none" || declared.kind === "length" && declared.length === 0;
    return nothing ? declared : "a body of another length than was declared";
  } catch (error) {
    return (error as Error).message;
  }
}

function client(code: ErrorCode, message: string): ProxyError {
  return new ProxyError(message, { code, side: "client", stage: "request" });
}

/** As far as no other protocol begins: the preface's first line. */
function match(head: Uint8Array): Verdict {
  const line = preface.subarray(0, preface.indexOf(13));
  const have = head.subarray(0, line.length);
  if (have.some((byte, index) => byte !== line[index])) return "no";
  return have.length < line.length ? "more" : "yes";
}

/** HTTP/2 on a listener, by prior knowledge or inside TLS. */
export const h2: Inbound = {
  matcher: { name: "h2", match },
  handler: h2Handler(),
  unwelcome(why) {
    return concat(settingsFrame([]), goawayFrame(0, Code.PROTOCOL_ERROR, why));
  },
};
