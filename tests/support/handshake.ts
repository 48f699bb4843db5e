/**
 * Runs handshakes without a connection: bytes in, in any pieces; writes, a result or an error, and the rest, out.
 *
 * This is a second reading of what `drive()` promises, kept simple so that the two can be held against each other.
 *
 * @module
 */
import { ProxyError } from "../../src/core/errors.ts";
import { type Handshake, type Step, TooLong, write } from "../../src/core/handshake.ts";
import type { TunnelRequest } from "../../src/core/serve.ts";
import { concat, pieces } from "./bytes.ts";

/** How a handshake ended, if it has. */
export interface Outcome<T> {
  /** Every write, whole. */
  readonly writes: readonly Uint8Array[];
  readonly done: boolean;
  readonly result?: T;
  readonly error?: unknown;
  /** What it did not consume. */
  readonly rest: Uint8Array;
}

const limit = 64 * 1024;

/** One side of a conversation. */
export class Party<T> {
  readonly writes: Uint8Array[] = [];
  done = false;
  result?: T;
  error?: unknown;
  rest: Uint8Array = new Uint8Array(0);
  #step!: Step;
  #budget: number;
  #ended = false;

  constructor(readonly handshake: Handshake<T>, budget = limit) {
    this.#budget = budget;
    this.#advance(() => handshake.next());
    this.#run();
  }

  /** More bytes from the peer. */
  feed(bytes: Uint8Array): void {
    this.rest = concat(this.rest, bytes);
    this.#run();
  }

  /** The peer has ended. */
  end(): void {
    this.#ended = true;
    this.#run();
  }

  #run(): void {
    while (!this.done) {
      const step = this.#step;
      if (step.op === "write") {
        this.writes.push(step.bytes.slice());
        this.#advance(() => this.handshake.next(step.bytes));
        continue;
      }
      if (step.op === "wait") throw new Error("a conversation in memory has nobody else to wait for");
      const max = Math.min(this.#budget, step.op === "until" ? step.max : this.#budget);
      const end = step.op === "read" ? step.n : step.find(this.rest.subarray(0, max), 0);
      const failure = { side: "client", stage: step.stage } as const;
      if (end >= 0 && end <= max && end <= this.rest.length) {
        const message = this.rest.slice(0, end);
        this.rest = this.rest.slice(end);
        this.#budget -= end;
        this.#advance(() => this.handshake.next(message));
      } else if (end > max || this.rest.length >= max) {
        this.#advance(() => this.handshake.throw(new TooLong(step.what, { code: "protocol", ...failure })));
      } else if (this.#ended) {
        this.#advance(() => this.handshake.throw(new ProxyError(step.what, { code: "closed", ...failure })));
      } else return;
    }
  }

  #advance(resume: () => IteratorResult<Step, T>): void {
    try {
      const { done, value } = resume();
      if (done) {
        this.done = true;
        this.result = value;
      } else this.#step = value;
    } catch (error) {
      this.done = true;
      this.error = error;
    }
  }
}

/** Feeds a handshake with `input` in pieces; by default whole. `end` tells it that no more will come. */
export function run<T>(
  handshake: Handshake<T>,
  input: Uint8Array | readonly Uint8Array[],
  { end = false, budget = limit } = {},
): Outcome<T> {
  const party = new Party(handshake, budget);
  for (const piece of input instanceof Uint8Array ? [input] : input) party.feed(piece);
  if (end) party.end();
  return party;
}

/** Every way to cut `input` evenly: whole, byte by byte, and all sizes between up to `most`. */
export function everyChunking(input: Uint8Array, most = input.length): Uint8Array[][] {
  const sizes = Array.from({ length: Math.min(most, input.length) }, (_, index) => index + 1);
  return [[input], ...sizes.map((size) => pieces(input, size))];
}

/** Both sides of a conversation between a client and a server. */
export interface Conversation<C, S> {
  readonly client: Outcome<C>;
  readonly server: Outcome<S>;
}

/** Runs two handshakes against each other; what one writes reaches the other in pieces of `chunk` bytes. */
export function converse<C, S>(
  client: Handshake<C>,
  server: Handshake<S>,
  chunk: number,
): Conversation<C, S> {
  const parties = { client: new Party(client), server: new Party(server) };
  const given = { client: 0, server: 0 };
  for (let moved = true; moved;) {
    moved = false;
    for (const [from, to] of [["client", "server"], ["server", "client"]] as const) {
      const written = concat(...parties[from].writes);
      if (given[from] === written.length) continue;
      parties[to].feed(written.slice(given[from], given[from] + chunk));
      given[from] = Math.min(written.length, given[from] + chunk);
      moved = true;
    }
  }
  return parties;
}

/** A server's handshake with the answer that its handler would give. */
export function* answered(
  accept: Handshake<TunnelRequest>,
  answer: (request: TunnelRequest) => Uint8Array,
): Handshake<TunnelRequest> {
  const request = yield* accept;
  yield* write(answer(request));
  return request;
}
