/**
 * One forwarded request and its response: both stream, at once, each as fast as its receiver takes it.
 *
 * A message that can't be told whole is never made to look so: before the head of the final response has gone to the
 * client a failure is answered with a status, after it the client's connection is aborted.
 *
 * @module
 */
import type { BufferedConn, Conn } from "../core/conn.ts";
import { asProxyError, ProxyError } from "../core/errors.ts";
import { background, drive, type Handshake, until } from "../core/handshake.ts";
import { chunk, lastChunk, readBody, responseFraming } from "../core/http_body.ts";
import { HeadError, parseResponseHead, responseEnd, type ResponseHead } from "../core/http_head.ts";
import { Flow, watchIdle } from "../core/relay.ts";
import { Scope } from "../core/scope.ts";
import type { Destination, Line, Session, Way } from "../core/serve.ts";
import { explainFailure, type Reply } from "./http_answers.ts";
import type { Downstream, Watcher } from "./http_downstream.ts";
import { closes, forwarded, trailing, upgradesToWebSocket } from "./http_fields.ts";
import type { Pool } from "./http_pool.ts";
import { type Destination as Place, outgoingHead, type Request } from "./http_request.ts";

const maxHead = 64 * 1024;
const maxInformational = 16;
/** How long a response that goes to a client which has ended its side may stand still: most of those are gone. */
const endedClient = 3000;

/** What may be asked again without harm, when it is certain that nothing was answered. */
const repeatable = ["GET", "HEAD", "OPTIONS", "TRACE"];

/** Forwards one request. */
export class Exchange implements Watcher {
  over = false;
  readonly #destination: Destination;
  readonly #dialing = new Scope();
  readonly #flow = new Flow();
  #way!: Way;
  /** An earlier request has left the connection. */
  #reused: Line | undefined;
  /** Why it was given up from our side. */
  #stopped: ProxyError | undefined;
  /** How much is waited for that is the client's to do. */
  #owed = 0;
  /** The request has gone out whole. */
  #sent = false;
  /** The server has said something. */
  #heard = false;
  /** The head of the final response has begun to go to the client. */
  #answered = false;
  /** The way has been closed and logged. */
  #closed = false;
  #sending = Promise.resolve();

  constructor(
    readonly client: Downstream,
    readonly request: Request,
    readonly place: Place,
    user: string | undefined,
    readonly session: Session,
    readonly pool: Pool,
  ) {
    const { method } = request.head;
    this.#destination = { target: place.target, user, request: { method, absolute: !place.upgrade } };
  }

  /** Runs to its end; whatever goes wrong, the client has been told. */
  async run(): Promise<void> {
    const { client, place, session: { stopping } } = this;
    const stop = () =>
      this.#stop(asProxyError(stopping.reason, { code: "closed", side: "local", stage: "relay" }));
    if (stopping.aborted) stop();
    stopping.addEventListener("abort", stop);
    // What comes behind an upgrade is for the other side.
    if (!place.upgrade) client.watch(this);
    try {
      await this.#exchange();
    } finally {
      this.over = true;
      stopping.removeEventListener("abort", stop);
    }
  }

  // --- what becomes of the client -------------------------------------------------------------------------------

  ended(): void {
    this.#flow.done.up = true;
  }

  gone(error: ProxyError): void {
    this.#stop(error);
  }

  // --- the exchange ---------------------------------------------------------------------------------------------

  async #exchange(): Promise<void> {
    const { idle, halfClosed } = this.session.timeouts;
    const limits = { idle, halfClosed: Math.min(halfClosed, endedClient) };
    if (!await this.#open()) return;
    this.#flow.add("down", 0);
    if (this.#way.line.meter) this.#flow.meters = new Set([(flow) => this.#way.line.meter?.(flow)]);
    const watch = watchIdle(this.#flow, limits, (error) => this.#stop(this.#tooLong(error)));
    let upgraded: Conn | undefined;
    try {
      if (this.#stopped !== undefined) throw this.#stopped;
      const response = await this.#ask();
      if (response.status === 101) upgraded = await this.#switch(response);
      else await this.#answer(response);
    } catch (error) {
      await this.#fail(error);
    } finally {
      watch.stop();
    }
    // The tunnel has an idle time-out of its own.
    if (upgraded !== undefined) await this.#way.relay(upgraded);
  }

  /** `false` when there is no way; the client has been told why. */
  async #open(): Promise<boolean> {
    const { request, ...destination } = this.#destination;
    const take = (way: object) => this.#reused = this.pool.take(this.#destination, way);
    const reuse = this.place.upgrade ? undefined : take;
    const asked = { ...destination, request: { ...request!, reuse } };
    try {
      this.#way = await this.session.open(this.client.protocol, asked, this.#dialing);
      return true;
    } catch (failure) {
      this.over = true;
      await this.client.answer(this.#refusal(failure as ProxyError));
      return false;
    }
  }

  /** A server that has no such site says so; a proxy denies the way to it. */
  #refusal(failure: ProxyError): Reply {
    const reply = explainFailure(failure);
    const unknown = this.session.reverse && failure.code === "denied" && failure.hop === 0;
    return unknown ? { ...reply, status: 421 } : reply;
  }

  /** Sends the request and waits for the final response; a line that was reused and is dead is replaced once. */
  async #ask(): Promise<ResponseHead> {
    try {
      return await this.#askOnce();
    } catch (error) {
      const { framing, head } = this.request;
      const dead = this.#reused !== undefined && !this.#heard && this.#way.conn.buffered.length === 0 &&
        error instanceof ProxyError && error.code === "closed";
      const again = framing.kind === "none" && repeatable.includes(head.method);
      if (!dead || !again || this.#stopped !== undefined) throw error;
      await this.#way.renew().catch((failure) => {
        this.#closed = true;
        throw failure;
      });
      return await this.#askOnce();
    }
  }

  async #askOnce(): Promise<ResponseHead> {
    const { line, conn } = this.#way;
    const added = this.session.forwarded ? [forwarded(this.session.client.source ?? null)] : [];
    const bytes = outgoingHead(this.request, this.place, added, line.proxy);
    // Not awaited: the server may answer before it has read everything.
    this.#sending = this.#send(conn, bytes).catch((error: unknown) => {
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
      await this.#tell(this.client.inform(response));
    }
    throw broken(`more than ${maxInformational} informational responses`);
  }

  async #send(conn: BufferedConn, head: Uint8Array): Promise<void> {
    const chunked = this.request.framing.kind === "chunked";
    const body = this.client.body();
    await this.#write(conn, head);
    for (;;) {
      const next = await this.#ofClient(body.next());
      if (!next.done) await this.#write(conn, chunked ? chunk(next.value) : next.value);
      else {
        if (chunked) await this.#write(conn, lastChunk(trailing(next.value)));
        break;
      }
    }
    this.#sent = true;
  }

  async #readHead(conn: BufferedConn): Promise<ResponseHead> {
    const head = function* (): Handshake<Uint8Array> {
      return yield* until(responseEnd, maxHead, "the response's head");
    };
    const bytes = await drive(conn, head(), background, { peer: "upstream", maxBytes: maxHead });
    this.#heard = true;
    this.#flow.add("down", 0);
    return parseResponseHead(bytes, { strict: true });
  }

  /** Tells the client the final response. */
  async #answer(response: ResponseHead): Promise<void> {
    const { client, pool, session, request } = this;
    const way = this.#way;
    const framing = responseFraming(response, request.head.method);
    if (request.framing.kind === "none") await this.#sending;
    way.status = response.status;
    this.#answered = true;
    await this.#tell(client.respond(response, framing));
    const body = readBody(way.conn, framing, "upstream");
    let next = await body.next().catch(ofServer);
    for (; !next.done; next = await body.next().catch(ofServer)) await this.#tell(client.send(next.value));
    await this.#tell(client.finish(trailing(next.value)));
    this.over = true;
    if (this.#stopped !== undefined) throw this.#stopped;
    const whole = framing.kind !== "close" && this.#sent && !closes(response) && !this.#coded;
    const kept = whole && !session.retired.aborted && way.conn.buffered.length === 0;
    if (kept) pool.put(this.#destination, way.line);
    else if (this.#sent) way.conn.close();
    else way.conn.abort();
    this.#closeWay();
  }

  /** The server may not know the coding of the request's body, and where it takes the next request to begin. */
  get #coded(): boolean {
    const { framing } = this.request;
    return framing.kind === "chunked" && framing.codings !== undefined;
  }

  /** The server agreed to another protocol: from here on it is a tunnel. */
  async #switch(response: ResponseHead): Promise<Conn> {
    this.#way.status = response.status;
    this.over = true;
    return await this.client.upgrade(response);
  }

  async #fail(thrown: unknown): Promise<void> {
    const error = this.#stopped ?? this.#blamed(failureOf(thrown));
    const { client } = this;
    const way = this.#way;
    this.over = true;
    way.conn.abort();
    if (this.#answered || error.side === "client" && error.code === "closed") {
      client.abort();
      return this.#closeWay(error);
    }
    const reply = explainFailure(way.line.proxy?.at?.(error) ?? error.at(0, "direct"));
    way.status = reply.status;
    this.#closeWay(error);
    await client.answer(reply, error.side === "client");
  }

  /** A server that cuts a response to a client that has ended its side: most of those have left. */
  #blamed(error: ProxyError): ProxyError {
    const { side, code, message, stage } = error;
    if (side !== "upstream" || code !== "closed" || !this.#answered || !this.#flow.done.up) return error;
    return new ProxyError(`the client had ended its side; then ${message}`, { code, side: "client", stage });
  }

  #closeWay(error?: ProxyError): void {
    if (this.#closed) return;
    this.#closed = true;
    const { up, down } = this.#flow.bytes;
    const failure = error && { side: error.side, error };
    this.#way.close({ bytesUp: up, bytesDown: down, failure });
  }

  async #write(conn: BufferedConn, bytes: Uint8Array): Promise<void> {
    await conn.write(bytes).catch(ofServer);
    this.#flow.add("up", bytes.length);
  }

  async #tell(telling: Promise<number>): Promise<void> {
    this.#flow.add("down", await this.#ofClient(telling));
  }

  /** Waits for what is the client's to do. */
  async #ofClient<T>(work: Promise<T>): Promise<T> {
    this.#owed++;
    try {
      return await work;
    } catch (error) {
      throw asProxyError(error, { code: "closed", side: "client", stage: "relay" });
    } finally {
      this.#owed--;
    }
  }

  #stop(error: ProxyError): void {
    if (this.over) return;
    this.#stopped ??= error;
    this.#dialing.abort(this.#stopped);
    this.#way?.conn.abort();
    // A response that has begun waits for the client to take it; one that has not is still owed an answer.
    if (this.#answered) this.client.abort();
  }

  #tooLong({ message }: Error): ProxyError {
    const [side, code, what] = this.#flow.done.up
      ? ["client", "closed", "response"] as const
      : this.#owed > 0
      ? ["client", "timeout", "client"] as const
      : ["upstream", "timeout", "response"] as const;
    return new ProxyError(`the ${what} has been ${message}`, { code, side, stage: "relay" });
  }

  #refusedByProxy(): ProxyError {
    const message = this.#way.line.proxy === undefined
      ? "the server answered 407, which only a proxy may"
      : "the proxy refused the credentials, or wants some and none are configured (407)";
    return new ProxyError(message, { code: "auth", side: "upstream", stage: "auth" });
  }
}

function broken(what: string): ProxyError {
  return new ProxyError(`the server sent ${what}`, { code: "protocol", side: "upstream", stage: "request" });
}

function ofServer(error: unknown): never {
  throw asProxyError(error, { code: "closed", side: "upstream", stage: "relay" });
}

function failureOf(error: unknown): ProxyError {
  if (error instanceof HeadError) return broken(`a malformed response: ${error.message}`);
  return asProxyError(error, { code: "closed", side: "upstream", stage: "relay" });
}
