/**
 * One forwarded request and its response: both stream, at once, each as fast as its receiver takes it.
 *
 * A message that can't be told whole is never made to look so: before the head of the final response has gone to the
 * client a failure is answered with a status, after it the client's connection is aborted.
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import type { BufferedConn } from "../core/conn.ts";
import { asProxyError, ProxyError, type Side } from "../core/errors.ts";
import { background, drive, type Handshake, until } from "../core/handshake.ts";
import { chunk, type Framing, readBody, responseFraming } from "../core/http_body.ts";
import {
  type Field,
  formatTrailers,
  headEnd,
  HeadError,
  parseResponseHead,
  type ResponseHead,
} from "../core/http_head.ts";
import { Flow, watchIdle } from "../core/relay.ts";
import type { Destination, Line, Session, Way } from "../core/serve.ts";
import { refusedAnswer, statusOf } from "./http_answers.ts";
import { closes, forwarded, trailing, upgradesToWebSocket } from "./http_fields.ts";
import type { Pool } from "./http_pool.ts";
import { reply } from "./http_refusal.ts";
import { finalHead, informationalHead, upgradeHead } from "./http_response.ts";
import { type Destination as Place, outgoingHead, type Request } from "./http_request.ts";

const maxHead = 64 * 1024;
const maxInformational = 16;
/** What a client may send ahead while it waits; what is more stays in its socket. */
const maxAhead = 64 * 1024;
/** How long a response that goes to a client which has ended its side may stand still: most of those are gone. */
const endedClient = 3000;

/** What may be asked again without harm, when it is certain that nothing was answered. */
const repeatable = ["GET", "HEAD", "OPTIONS", "TRACE"];

/** Forwards a request; `true` when the client's connection is good for the next one. */
export async function forward(
  client: BufferedConn,
  request: Request,
  place: Place,
  user: string | undefined,
  session: Session,
  pool: Pool,
): Promise<boolean> {
  const { method } = request.head;
  const asked = { target: place.target, user, request: { method, absolute: !place.upgrade } };
  let reused: Line | undefined;
  const reuse = place.upgrade ? undefined : (way: object) => reused = pool.take(asked, way);
  let way: Way;
  try {
    way = await session.open("http", { ...asked, request: { ...asked.request, reuse } });
  } catch (failure) {
    return await reply(client, request, session, (options) => refusedAnswer(failure as ProxyError, options));
  }
  return await new Exchange(client, request, place, asked, session, pool, way).run(reused !== undefined);
}

class Exchange {
  readonly #flow = new Flow();
  /** Why it was given up from our side. */
  #stopped: ProxyError | undefined;
  /** The request has gone out whole. */
  #sent = false;
  /** The server has said something. */
  #heard = false;
  /** The head of the final response has begun to go to the client. */
  #answered = false;
  #over = false;
  /** The way has been closed and logged. */
  #closed = false;
  #sending = Promise.resolve();

  constructor(
    readonly client: BufferedConn,
    readonly request: Request,
    readonly place: Place,
    readonly destination: Destination,
    readonly session: Session,
    readonly pool: Pool,
    readonly way: Way,
  ) {}

  async run(reused: boolean): Promise<boolean> {
    const { timeouts, stopping } = this.session;
    const limits = { idle: timeouts.idle, halfClosed: Math.min(timeouts.halfClosed, endedClient) };
    const idle = watchIdle(this.#flow, limits, (error) => this.#stop(this.#tooLong(error)));
    const stop = () =>
      this.#stop(asProxyError(stopping.reason, { code: "closed", side: "local", stage: "relay" }));
    if (stopping.aborted) stop();
    stopping.addEventListener("abort", stop);
    let relayed = false;
    try {
      const response = await this.#ask(reused);
      relayed = response.status === 101;
      if (!relayed) return await this.#answer(response);
      await this.#switch(response);
    } catch (error) {
      return relayed ? false : await this.#fail(error);
    } finally {
      this.#over = true;
      idle.stop();
      stopping.removeEventListener("abort", stop);
    }
    return false;
  }

  /** Sends the request and waits for the final response; a line that was reused and is dead is replaced once. */
  async #ask(reused: boolean): Promise<ResponseHead> {
    try {
      return await this.#askOnce();
    } catch (error) {
      const { framing, head } = this.request;
      const dead = reused && !this.#heard && this.way.conn.buffered.length === 0 &&
        error instanceof ProxyError && error.code === "closed";
      const again = framing.kind === "none" && repeatable.includes(head.method);
      if (!dead || !again || this.#stopped !== undefined) throw error;
      await this.way.renew().catch((failure) => {
        this.#closed = true;
        throw failure;
      });
      return await this.#askOnce();
    }
  }

  async #askOnce(): Promise<ResponseHead> {
    const { head, framing } = this.request;
    const { line, conn } = this.way;
    const added = this.session.forwarded ? [forwarded(this.session.client.source ?? null)] : [];
    const bytes = outgoingHead(this.request, this.place, added, line.proxy);
    // Not awaited: the server may answer before it has read everything.
    this.#sending = this.#send(conn, bytes, framing).catch((error: unknown) => {
      // A server that no longer listens may still have answered; a client that broke off has asked for nothing.
      if (error instanceof ProxyError && error.side === "client") this.#stop(error);
    });
    for (let informational = 0; informational <= maxInformational; informational++) {
      const response = await this.#readHead(conn);
      if (response.status === 407) throw this.#refusedByProxy();
      if (response.status >= 200) return response;
      if (response.status === 101) {
        if (this.place.upgrade && upgradesToWebSocket(response.fields)) return response;
        throw broken("101 to a request that asked for no such upgrade");
      }
      if (head.minor === 1) await this.#write(this.client, "client", informationalHead(response));
    }
    throw broken(`more than ${maxInformational} informational responses`);
  }

  async #send(conn: BufferedConn, head: Uint8Array, framing: Framing): Promise<void> {
    await this.#write(conn, "upstream", head);
    await this.#copy(this.client, "client", framing, conn, "upstream", framing.kind === "chunked");
    this.#sent = true;
    if (!this.place.upgrade) this.#watchClient();
  }

  async #readHead(conn: BufferedConn): Promise<ResponseHead> {
    const head = function* (): Handshake<Uint8Array> {
      return yield* until(headEnd, maxHead, "the response's head");
    };
    const bytes = await drive(conn, head(), background, { peer: "upstream", maxBytes: maxHead });
    this.#heard = true;
    this.#flow.add("down", 0);
    return parseResponseHead(bytes, { strict: true });
  }

  /** Tells the client the final response. */
  async #answer(response: ResponseHead): Promise<boolean> {
    const { client, way, request: { head, closes: last } } = this;
    const framing = responseFraming(response, head.method);
    if (this.request.framing.kind === "none") await this.#sending;
    const chunked = head.minor === 1 && (framing.kind === "chunked" || framing.kind === "close");
    // A body that is still on its way may never come to its end, and then no other request begins behind it.
    const keep = !last && this.#sent && this.#more;
    const bytes = finalHead(response, framing, { method: head.method, chunked, keep });
    way.status = response.status;
    this.#answered = true;
    await this.#write(client, "client", bytes);
    await this.#copy(way.conn, "upstream", framing, client, "client", chunked);
    this.#over = true;
    const whole = framing.kind !== "close" && this.#sent && !closes(response);
    if (this.#stopped !== undefined) throw this.#stopped;
    if (whole && keep && way.conn.buffered.length === 0) this.pool.put(this.destination, way.line);
    else if (this.#sent) way.conn.close();
    else way.conn.abort();
    this.#closeWay();
    return keep;
  }

  /** The server agreed to another protocol: from here on it is a tunnel. */
  async #switch(response: ResponseHead): Promise<void> {
    const { client, way } = this;
    way.status = response.status;
    // The tunnel has an idle time-out of its own.
    this.#over = true;
    // Should the client be gone, the relay finds out.
    await client.write(upgradeHead(response)).catch(() => {});
    await way.relay(client);
  }

  async #fail(thrown: unknown): Promise<boolean> {
    const error = this.#stopped ?? failureOf(thrown);
    const { client, way, request } = this;
    this.#over = true;
    way.conn.abort();
    if (this.#answered || error.side === "client" && error.code === "closed") {
      client.abort();
      this.#closeWay(error);
      return false;
    }
    const place = way.line.proxy?.at?.(error) ?? error.at(0, "direct");
    const status = error.side === "client" ? 400 : statusOf(place);
    way.status = status;
    this.#closeWay(error);
    const keep = this.#sent && !request.closes && this.#more && error.side !== "client";
    const words = refusedAnswer(place, { keep, headOnly: request.head.method === "HEAD" }, status);
    return await client.write(words).then(() => keep, () => false);
  }

  /** Another request may follow, or has come already. */
  get #more(): boolean {
    return !this.session.retired.aborted && (!this.#flow.done.up || this.client.buffered.length > 0);
  }

  #closeWay(error?: ProxyError): void {
    if (this.#closed) return;
    this.#closed = true;
    const { up, down } = this.#flow.bytes;
    const failure = error && { side: error.side, error };
    this.way.close({ bytesUp: up, bytesDown: down, failure });
  }

  /** Moves a body; the trailers that may go on follow it where its receiver gets chunks. */
  async #copy(
    from: BufferedConn,
    source: "client" | "upstream",
    framing: Framing,
    to: BufferedConn,
    sink: "client" | "upstream",
    chunked: boolean,
  ): Promise<void> {
    const body = readBody(from, framing, source);
    for (;;) {
      const next = await body.next().catch((error: unknown) => {
        throw asProxyError(error, { code: "closed", side: source, stage: "relay" });
      });
      if (!next.done) await this.#write(to, sink, chunked ? chunk(next.value) : next.value);
      else if (chunked) return await this.#write(to, sink, lastChunk(next.value));
      else return;
    }
  }

  async #write(to: BufferedConn, side: "client" | "upstream", bytes: Uint8Array): Promise<void> {
    try {
      await to.write(bytes);
    } catch (error) {
      throw asProxyError(error, { code: "closed", side, stage: "relay" });
    }
    this.#flow.add(side === "client" ? "down" : "up", bytes.length);
  }

  /** Notices a client that goes away while it waits. What it sends ahead stays for the next request. */
  async #watchClient(): Promise<void> {
    const { client } = this;
    try {
      while (!this.#over && client.buffered.length < maxAhead) {
        if (await client.fill()) continue;
        this.#flow.done.up = true;
        return;
      }
    } catch (error) {
      if (!this.#over) this.#stop(asProxyError(error, { code: "closed", side: "client", stage: "relay" }));
    }
  }

  #stop(error: ProxyError): void {
    if (this.#over) return;
    this.#stopped ??= error;
    this.way.conn.abort();
    // A response that has begun waits for the client to take it; one that has not is still owed an answer.
    if (this.#answered) this.client.abort();
  }

  #tooLong({ message }: Error): ProxyError {
    const side: Side = this.#flow.done.up ? "client" : "upstream";
    const code = side === "client" ? "closed" : "timeout";
    return new ProxyError(`the response has been ${message}`, { code, side, stage: "relay" });
  }

  #refusedByProxy(): ProxyError {
    const message = this.way.line.proxy === undefined
      ? "the server answered 407, which only a proxy may"
      : "the proxy refused the credentials, or wants some and none are configured (407)";
    return new ProxyError(message, { code: "auth", side: "upstream", stage: "auth" });
  }
}

const end = new TextEncoder().encode("0\r\n");

function lastChunk(fields: readonly Field[]): Uint8Array {
  return concat(end, formatTrailers(trailing(fields)));
}

function broken(what: string): ProxyError {
  return new ProxyError(`the server sent ${what}`, { code: "protocol", side: "upstream", stage: "request" });
}

function failureOf(error: unknown): ProxyError {
  if (error instanceof HeadError) return broken(`a malformed response: ${error.message}`);
  return asProxyError(error, { code: "closed", side: "upstream", stage: "relay" });
}
