/**
 * Many tunnels over one HTTP/2 connection to a proxy: the client's side of CONNECT, and the connection's health.
 *
 * @module
 */
import { checkTarget, formatEndpoint } from "../core/address.ts";
import type { Conn, Context, Endpoint } from "../core/conn.ts";
import { type ErrorCode, ProxyError } from "../core/errors.ts";
import { interrupted } from "../core/handshake.ts";
import { type Field, fieldValues } from "../core/http_head.ts";
import { unlessAborted } from "../core/scope.ts";
import { H2Connection } from "./h2_connection.ts";
import { Code } from "./h2_frames.ts";
import { StreamReset, Unprocessed } from "./h2_incoming.ts";
import type { H2Stream } from "./h2_stream.ts";
import { type Authenticator, parseChallenges } from "./http_challenges.ts";
import { refusal, unanswered } from "./http_connect.ts";

/** How long what may last, in milliseconds. */
export interface Care {
  /** A connection with tunnels may be silent so long before it is asked by PING whether it lives. */
  readonly silence: number;
  /** An answer to PING may take so long. */
  readonly patience: number;
  /** A connection without tunnels is kept so long. */
  readonly idle: number;
}

export const defaultCare: Care = { silence: 15_000, patience: 5_000, idle: 30_000 };

/** A tunnel is asked for over a connection that was quiet longer than this: then a PING goes along. */
const freshMs = 1000;
const maxHeader = 64 * 1024;
const window = 1024 * 1024;

/** A connection that tunnels share. */
export class TunnelConnection {
  readonly #connection: H2Connection;
  /** Resolves once it has ended, to the reason. */
  readonly ended: Promise<unknown>;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #asking = false;
  #used = false;

  constructor(
    conn: Conn,
    readonly authenticator: Authenticator,
    readonly care: Care,
    readonly retired: AbortSignal | undefined,
  ) {
    this.#connection = new H2Connection(conn, {
      role: "client",
      window,
      maxHeader,
      maxStreams: 0,
      headers: (stream, fields, end) => this.#answered(stream, fields, end),
      changed: () => this.#changed(),
    });
    this.ended = this.#connection.run();
    this.#listen();
  }

  /** Waits for the proxy's settings. */
  async ready(ctx: Context): Promise<void> {
    try {
      await unlessAborted(this.#connection.ready, ctx);
    } catch (error) {
      this.#connection.abort(error);
      if (ctx.signal.aborted) {
        throw interrupted(ctx.signal.reason, "the proxy's HTTP/2 settings", "upstream", "request");
      }
      const reason = await this.ended ?? error;
      throw failed("protocol", `the proxy breaks HTTP/2's rules: ${(reason as Error).message}`);
    }
    if (this.#connection.peerStreams === 0) {
      throw failed("limit", "the proxy allows no streams (HTTP/2 settings)");
    }
  }

  /** There is room for another tunnel. */
  get free(): boolean {
    const { leaving, closed, streams, peerStreams } = this.#connection;
    return !leaving && !closed && streams.size < peerStreams;
  }

  /** There will be no further tunnels. */
  get over(): boolean {
    return this.#connection.leaving || this.#connection.closed;
  }

  /** Asks for a tunnel. @throws Unprocessed when the proxy has not begun with it; ProxyError */
  async tunnel(target: Endpoint, ctx: Context): Promise<Conn> {
    const authority = formatEndpoint(checkTarget(target));
    const reused = this.#used;
    this.#used = true;
    let credentials = this.authenticator.first();
    for (;;) {
      const stream = this.#connection.open(request(authority, credentials));
      if (performance.now() - this.#connection.heard > freshMs) this.#ask();
      let fields: Field[];
      try {
        fields = await unlessAborted(stream.head.promise, ctx);
      } catch (error) {
        stream.abort();
        throw this.#explained(error, ctx, reused);
      }
      const status = Number(fields.find(([name]) => name === ":status")?.[1]);
      if (status >= 200 && status < 300) return stream;
      // What else it has to say is for nobody.
      stream.abort();
      if (status !== 407) throw refusal({ status, reason: "", fields });
      const challenges = fieldValues(fields, "proxy-authenticate").flatMap(parseChallenges);
      const asked = credentials !== undefined;
      credentials = this.authenticator.answer(challenges);
      if (credentials === undefined) throw unanswered(challenges, asked);
    }
  }

  #explained(error: unknown, { signal }: Context, reused: boolean): unknown {
    if (signal.aborted) return interrupted(signal.reason, "the answer to CONNECT", "upstream", "request");
    const { message } = error as Error;
    // A connection that was there already may have been dead for long.
    if (this.#connection.closed && reused) return new Unprocessed(message);
    if (error instanceof ProxyError || error instanceof Unprocessed) return error;
    return failed(error instanceof StreamReset ? RESET_MEANING[error.code] ?? "protocol" : "closed", message);
  }

  #answered(stream: H2Stream, fields: Field[] | null, end: boolean): void {
    const status = fields?.find(([name]) => name === ":status")?.[1] ?? "";
    if (/^1\d\d$/.test(status) && !end && !stream.answered) return;
    if (stream.answered || !/^[2-5]\d\d$/.test(status)) {
      const why = fields === null ? "header fields that are too large" : "HEADERS that are no answer";
      return this.#connection.misused(stream, Code.PROTOCOL_ERROR, why);
    }
    stream.answered = true;
    stream.head.resolve(fields!);
  }

  /** Closes when there is nothing to do: after a while, or soon when there will be nothing more. */
  #changed(): void {
    clearTimeout(this.#idle);
    if (this.#connection?.closed !== false || this.#connection.streams.size > 0) return;
    const soon = this.#connection.leaving || this.retired?.aborted;
    this.#idle = setTimeout(() => this.close(), soon ? 0 : this.care.idle);
  }

  /** Closes now, if no tunnel is open. */
  close(): void {
    if (this.#connection.streams.size === 0) this.#connection.close();
  }

  /** Asks whether the proxy is there, when it has been silent while tunnels are open. */
  #listen(): void {
    const { silence } = this.care;
    const check = () => {
      if (this.#connection.closed) return;
      if (this.#connection.streams.size > 0 && performance.now() - this.#connection.heard >= silence) {
        this.#ask();
      }
      this.#watch = setTimeout(check, silence);
    };
    this.#watch = setTimeout(check, silence);
    const retire = () => this.#changed();
    this.retired?.addEventListener("abort", retire);
    this.ended.finally(() => {
      clearTimeout(this.#watch);
      clearTimeout(this.#idle);
      this.retired?.removeEventListener("abort", retire);
    });
  }

  /** Sends a PING; when nothing at all comes back, the connection is dead. */
  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    const { patience } = this.care;
    let asked = performance.now();
    const late = () => {
      const { heard, closed } = this.#connection;
      if (closed) return;
      if (heard <= asked) {
        this.#connection.abort(failed("timeout", `the proxy has not answered a PING for ${patience} ms`));
      } else {
        asked = performance.now();
        timer = setTimeout(late, patience);
      }
    };
    let timer = setTimeout(late, patience);
    await Promise.race([this.#connection.ping(), this.ended]);
    clearTimeout(timer);
    this.#asking = false;
  }
}

/** What a reset says instead of an answer. */
const RESET_MEANING: Record<number, ErrorCode> = {
  [Code.CANCEL]: "closed",
  [Code.CONNECT_ERROR]: "failed",
  [Code.ENHANCE_YOUR_CALM]: "limit",
  [Code.HTTP_1_1_REQUIRED]: "unsupported",
  [Code.INTERNAL_ERROR]: "failed",
};

function request(authority: string, credentials: string | undefined): Field[] {
  const fields: Field[] = [[":method", "CONNECT"], [":authority", authority]];
  if (credentials !== undefined) fields.push(["proxy-authorization", credentials]);
  return fields;
}

function failed(code: ErrorCode, message: string): ProxyError {
  return new ProxyError(message, { code, side: "upstream", stage: "request" });
}
