/**
 * HTTP/2 on a listener (RFC 9113 section 8.5): every CONNECT stream is a tunnel of its own.
 *
 * A request that breaks HTTP/2's rules gets RST_STREAM; one that can't be served gets an answer with words. Neither
 * harms its siblings on the connection.
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import type { BufferedConn } from "../core/conn.ts";
import { AddressError, parseEndpoint } from "../core/address.ts";
import { type ErrorCode, ProxyError } from "../core/errors.ts";
import { interrupted } from "../core/handshake.ts";
import type { Field } from "../core/http_head.ts";
import type { Destination, Handler, Inbound, Session, Verdict, Way } from "../core/serve.ts";
import { H2Connection } from "./h2_connection.ts";
import { Code, ConnectionError, goawayFrame, preface, settingsFrame } from "./h2_frames.ts";
import { parseRequest, type Request } from "./h2_request.ts";
import type { H2Stream } from "./h2_stream.ts";
import { contentType, explain, explainFailure, type Explanation } from "./http_answers.ts";
import { admission } from "./http_credentials.ts";

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
  #asked = false;
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(conn: BufferedConn, readonly session: Session, readonly options: H2ServerOptions) {
    const { maxStreams, window } = options;
    this.#connection = new H2Connection(conn, {
      role: "server",
      window,
      maxHeader: session.maxBytes,
      maxStreams,
      headers: (stream, fields) => this.#request(stream, fields),
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

  #request(stream: H2Stream, fields: Field[] | null): void {
    if (fields === null) return void this.#refuse(stream, 431, "the header fields are too large", "protocol");
    const request = parseRequest(fields);
    if (typeof request === "string") {
      this.#connection.misused(stream, Code.PROTOCOL_ERROR, request);
      return;
    }
    this.#asked = true;
    if (this.#serving.size >= this.options.maxStreams) {
      this.#connection.misused(stream, Code.REFUSED_STREAM, "more streams than were allowed");
      return;
    }
    const serving = this.#serve(stream, request).catch(() => stream.abort());
    this.#serving.add(serving);
    serving.finally(() => this.#serving.delete(serving));
  }

  async #serve(stream: H2Stream, request: Request): Promise<void> {
    const admitted = admission(this.session.gate, request.fields);
    if (!admitted.admitted) return this.#refuse(stream, 407, admitted.why, "auth", admitted.who);
    if (request.kind === "forward") return this.#refuse(stream, ...notForwarded(request));
    try {
      await this.#tunnel(stream, { target: parseEndpoint(request.authority), user: admitted.user });
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      await this.#refuse(stream, 400, `CONNECT wants host:port: ${error.message}`, "address");
    }
  }

  async #tunnel(stream: H2Stream, destination: Destination): Promise<void> {
    let way: Way;
    try {
      way = await this.session.open("h2", destination);
    } catch (failure) {
      return await this.#answer(stream, explainFailure(failure as ProxyError));
    }
    // Should the stream be gone, the relay finds out.
    this.#connection.respond(stream, [[":status", "200"]]);
    await way.relay(stream);
  }

  #refuse(stream: H2Stream, status: number, why: string, code: ErrorCode, logged = ""): Promise<void> {
    this.session.refused(client(code, why + logged));
    return this.#answer(stream, explain(status, code === "auth" ? undefined : "http_request_error", why));
  }

  async #answer(stream: H2Stream, { status, fields, body }: Explanation): Promise<void> {
    this.#connection.respond(stream, [
      [":status", String(status)],
      ["content-type", contentType],
      ["content-length", String(body.length)],
      ...fields.map(([name, value]) => [name.toLowerCase(), value] as const),
    ]);
    try {
      await stream.write(body);
    } catch {
      return; // nobody waits for it
    }
    stream.close();
  }
}

/** The seam for plain requests, which a forward proxy will serve. */
function notForwarded({ method }: Request): [status: number, why: string, code: ErrorCode] {
  return [501, `${method} over HTTP/2 is not supported by this version; use CONNECT`, "unsupported"];
}

function client(code: ErrorCode, message: string): ProxyError {
  return new ProxyError(message, { code, side: "client", stage: code === "auth" ? "auth" : "request" });
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
