/**
 * Handshakes as generators: a protocol file never holds a socket, so it reads like its RFC.
 *
 * A handshake yields what it wants (`read`, `until`, `write`), and one driver owns buffering, push-back, deadlines and
 * cancellation. The same generator runs against a socket, against another generator in memory, or under a fuzzer.
 *
 * @module
 */
import type { BufferedConn, Context } from "./conn.ts";
import { asProxyError, ProxyError, type Side, type Stage } from "./errors.ts";

/** Finds where a message ends: the index behind it, or -1. `from` is where the last, shorter look ended. */
export type Find = (bytes: Uint8Array, from: number) => number;

/** What a handshake asks of its driver. */
export type Step =
  | { readonly op: "read"; readonly n: number; readonly what: string; readonly stage: Stage }
  | {
    readonly op: "until";
    readonly find: Find;
    readonly max: number;
    readonly what: string;
    readonly stage: Stage;
  }
  | { readonly op: "write"; readonly bytes: Uint8Array };

/** A conversation with a peer; reading steps are answered with the bytes, a writing step with none. */
export type Handshake<T> = Generator<Step, T, Uint8Array>;

/** Waits for exactly `n` bytes. */
export function* read(n: number, what: string, stage: Stage = "request"): Handshake<Uint8Array> {
  return yield { op: "read", n, what, stage };
}

/** Waits for a message that `find` sees the end of, of at most `max` bytes; returns it with its end. */
export function* until(
  find: Find,
  max: number,
  what: string,
  stage: Stage = "request",
): Handshake<Uint8Array> {
  return yield { op: "until", find, max, what, stage };
}

/** Sends `bytes` in one write: some peers lose a message that comes in pieces. */
export function* write(bytes: Uint8Array): Handshake<void> {
  yield { op: "write", bytes };
}

/** The message did not end within its limit. A handshake may catch it to answer in its own protocol. */
export class TooLong extends ProxyError {}

/** Whom a handshake talks to, for the errors, and the most bytes it may take. */
export interface DriveOptions {
  readonly peer: Extract<Side, "client" | "upstream">;
  readonly maxBytes?: number;
}

const handshakeLimit = 64 * 1024;
const sending = { stage: "request", what: null } as const;

/**
 * Runs a handshake over a connection. Bytes that it did not ask for stay in `conn`.
 *
 * @throws ProxyError; when `ctx.signal` aborts, its reason, told apart by what was being waited for. The connection is
 *   aborted then, and otherwise left for the caller to close.
 */
export async function drive<T>(
  conn: BufferedConn,
  handshake: Handshake<T>,
  ctx: Context,
  { peer, maxBytes = handshakeLimit }: DriveOptions,
): Promise<T> {
  const { signal } = ctx;
  let waiting: Step | undefined;
  const abort = () => conn.abort();
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  let budget = maxBytes;
  try {
    signal.throwIfAborted();
    let result = handshake.next();
    while (!result.done) {
      const step = waiting = result.value;
      if (step.op === "write") {
        await conn.write(step.bytes);
        result = handshake.next(step.bytes);
        continue;
      }
      const end = await messageEnd(conn, step, budget);
      if (typeof end !== "number") {
        result = handshake.throw(end(peer));
        continue;
      }
      budget -= end;
      result = handshake.next(conn.consume(end));
    }
    signal.throwIfAborted();
    return result.value;
  } catch (error) {
    const { stage, what } = waiting !== undefined && waiting.op !== "write" ? waiting : sending;
    if (signal.aborted) throw interrupted(signal.reason, what, peer, stage);
    throw asProxyError(error, { code: "closed", side: peer, stage });
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** How many bytes the step takes, or what to throw into the handshake. */
async function messageEnd(
  conn: BufferedConn,
  step: Exclude<Step, { op: "write" }>,
  budget: number,
): Promise<number | ((peer: Side) => ProxyError)> {
  const { what, stage } = step;
  const max = Math.min(budget, step.op === "until" ? step.max : budget);
  let looked = 0;
  for (;;) {
    const bytes = conn.buffered;
    const end = step.op === "read" ? step.n : step.find(bytes.subarray(0, max), looked);
    if (end >= 0 && end <= max && end <= bytes.length) return end;
    if (end > max || bytes.length >= max) {
      return (side) => new TooLong(`${what} is longer than ${max} bytes`, { code: "protocol", side, stage });
    }
    looked = bytes.length;
    if (!(await conn.fill())) {
      const got = bytes.length === 0 ? "nothing" : `${bytes.length} bytes`;
      return (side) =>
        new ProxyError(`expected ${what}, but the connection ended after ${got}`, {
          code: "closed",
          side,
          stage,
        });
    }
  }
}

/** Why a wait was given up: an abort's own reason, or a deadline's, which then says what had not come. */
export function interrupted(reason: unknown, what: string | null, side: Side, stage: Stage): unknown {
  if (!(reason instanceof ProxyError) || reason.code !== "timeout") return reason;
  const doing = what === null ? "sending" : `waiting for ${what}`;
  return new ProxyError(`${reason.message} ${doing}`, { code: "timeout", side, stage });
}

/** A context that also aborts after `ms`; `done` must be called when the work is over. */
export function deadline(parent: Context | undefined, ms: number): { ctx: Context; done: () => void } {
  const controller = new AbortController();
  const signal = parent?.signal;
  const forward = () => controller.abort(signal!.reason);
  if (signal?.aborted) forward();
  signal?.addEventListener("abort", forward);
  const timer = setTimeout(() => {
    controller.abort(
      new ProxyError(`timed out after ${seconds(ms)}`, { code: "timeout", side: "local", stage: "connect" }),
    );
  }, ms);
  const done = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", forward);
  };
  return { ctx: { ...parent, signal: controller.signal }, done };
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}

/** Never aborts: for a dial that nobody limits. */
export const background: Context = { signal: new AbortController().signal };
