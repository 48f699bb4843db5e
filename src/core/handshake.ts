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
import { Scope } from "./scope.ts";
import type { Trace, TraceStep } from "./trace.ts";

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
  | { readonly op: "write"; readonly bytes: Uint8Array }
  | { readonly op: "wait"; readonly until: Promise<unknown> };

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

/** Waits for an answer that is not the peer's, if it takes any time. */
export function* settled<T>(answer: T | Promise<T>): Handshake<T> {
  if (!(answer instanceof Promise)) return answer;
  let value: { readonly value: T } | undefined;
  yield { op: "wait", until: answer.then((settled) => value = { value: settled }) };
  return value!.value;
}

/** The message did not end within its limit. A handshake may catch it to answer in its own protocol. */
export class TooLong extends ProxyError {}

/** Whom a handshake talks to, for the errors, and the most bytes it may take. */
export interface DriveOptions {
  readonly peer: Extract<Side, "client" | "upstream">;
  readonly maxBytes?: number;
}

const handshakeLimit = 64 * 1024;
const nothing = new Uint8Array(0);
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
  const scope = new Scope(ctx, conn);
  const follow = ctx.trace && follower(ctx.trace);
  let waiting: Step | undefined;
  let budget = maxBytes;
  try {
    scope.throwIfAborted();
    let result = handshake.next();
    while (!result.done) {
      const step = waiting = result.value;
      if (step.op === "write") {
        await conn.write(step.bytes);
        result = handshake.next(step.bytes);
        continue;
      }
      if (step.op === "wait") {
        await step.until;
        scope.throwIfAborted();
        result = handshake.next(nothing);
        continue;
      }
      follow?.reached(step);
      let end: number | "more" | Shortcoming = messageEnd(conn, step, budget, 0);
      while (end === "more") {
        const looked = conn.available;
        end = await conn.fill() ? messageEnd(conn, step, budget, looked) : "cut short";
      }
      if (typeof end === "string") {
        result = handshake.throw(unfinished(end, conn, step, budget, peer));
        continue;
      }
      budget -= end;
      result = handshake.next(conn.consume(end));
    }
    scope.throwIfAborted();
    follow?.done();
    return result.value;
  } catch (error) {
    const { stage, what } = waiting !== undefined && "what" in waiting ? waiting : sending;
    const failure = scope.aborted
      ? interrupted(scope.reason, what, peer, stage)
      : asProxyError(error, { code: "closed", side: peer, stage });
    follow?.failed(failure);
    throw failure;
  } finally {
    scope.leave();
  }
}

/** Tells a trace of a handshake: each stage is a step, named after the message that is waited for first. */
function follower(trace: Trace) {
  let stage: Stage | undefined;
  let current: TraceStep | undefined;
  return {
    reached(step: Reading) {
      if (step.stage === stage) return;
      current?.done();
      current = trace.begin(stage = step.stage, step.what);
    },
    done: () => current?.done(),
    failed: (error: unknown) => current?.failed(error),
  };
}

type Reading = Extract<Step, { op: "read" | "until" }>;

/** What is wrong with a message. */
type Shortcoming = "too long" | "cut short";

/** How many bytes the step takes, or why that can't be said; it has looked at the first `looked` of them before. */
function messageEnd(
  conn: BufferedConn,
  step: Reading,
  budget: number,
  looked: number,
): number | "more" | Shortcoming {
  const max = most(step, budget);
  const have = conn.available;
  const end = step.op === "read"
    ? step.n
    : step.find(have <= max ? conn.buffered : conn.buffered.subarray(0, max), looked);
  if (end >= 0 && end <= max && end <= have) return end;
  return end > max || have >= max ? "too long" : "more";
}

function most(step: Reading, budget: number): number {
  return step.op === "until" ? Math.min(budget, step.max) : budget;
}

/** What to throw into the handshake. */
function unfinished(
  how: Shortcoming,
  conn: BufferedConn,
  step: Reading,
  budget: number,
  side: Side,
): ProxyError {
  const { what, stage } = step;
  if (how === "too long") {
    const message = `${what} is longer than ${most(step, budget)} bytes`;
    return new TooLong(message, { code: "protocol", side, stage });
  }
  const got = conn.available === 0 ? "nothing" : `${conn.available} bytes`;
  return new ProxyError(`expected ${what}, but the connection ended after ${got}`, {
    code: "closed",
    side,
    stage,
  });
}

/** Why a wait was given up: an abort's own reason, or a deadline's, which then says what had not come. */
export function interrupted(reason: unknown, what: string | null, side: Side, stage: Stage): unknown {
  if (!(reason instanceof ProxyError) || reason.code !== "timeout") return reason;
  const doing = what === null ? "sending" : `waiting for ${what}`;
  return new ProxyError(`${reason.message} ${doing}`, { code: "timeout", side, stage });
}

/** A context that also aborts after `ms`; `done` must be called when the work is over. */
export function deadline(parent: Context | undefined, ms: number): { ctx: Context; done: () => void } {
  const ctx = new Scope(parent).limit(ms);
  return { ctx, done: () => ctx.leave() };
}

/** Never aborts: for a dial that nobody limits. */
export const background: Context = { signal: new AbortController().signal };
