/**
 * Calls between two processes of one runtime, over a pipe in each direction.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Readable, Writable } from "node:stream";
import { deserialize, serialize } from "node:v8";

type Arguments<F> = F extends (...args: infer A) => unknown ? A : never;
type Result<F> = F extends (...args: never[]) => infer R ? Awaited<R> : never;

interface Call {
  readonly call: string;
  readonly args: readonly unknown[];
  /** For the answer, where one is wanted. */
  readonly id?: number;
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/**
 * A channel to a process that answers the calls of `Theirs`; `ours` are those that it may make. Calls are carried out
 * in the order in which they were made, each up to its first `await` before the next begins.
 */
export class Channel<Theirs extends object> {
  /** Resolves when the other side has gone. */
  readonly closed: Promise<void>;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #received: Buffer = Buffer.alloc(0);
  #calls = 0;
  #open = true;

  constructor(from: Readable, readonly to: Writable, readonly ours: object) {
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    const close = () => {
      this.#open = false;
      for (const { reject } of this.#waiting.values()) reject(new Error("the process has ended"));
      this.#waiting.clear();
      closed.resolve();
    };
    from.on("data", (chunk: Buffer) => this.#receive(chunk));
    for (const event of ["end", "close", "error"]) from.on(event, close);
    // Its end is seen by the reader.
    to.on("error", () => {});
  }

  /** Makes a call; rejects when it fails over there, or when the other side goes before it has answered. */
  call<K extends keyof Theirs & string>(
    call: K,
    ...args: Arguments<Theirs[K]>
  ): Promise<Result<Theirs[K]>> {
    if (!this.#open) return Promise.reject(new Error("the process has ended"));
    const id = ++this.#calls;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(id, answer);
    this.#send({ call, args, id });
    return answer.promise as Promise<Result<Theirs[K]>>;
  }

  /** Makes a call whose outcome nobody waits for. */
  tell<K extends keyof Theirs & string>(call: K, ...args: Arguments<Theirs[K]>): void {
    this.#send({ call, args });
  }

  #send(message: Call | Answer): void {
    if (!this.#open) return;
    const body = serialize(message);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    this.to.write(Buffer.concat([head, body]));
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readUInt32BE();
      if (this.#received.length < end) return;
      const body = this.#received.subarray(4, end);
      this.#received = this.#received.subarray(end);
      this.#take(deserialize(body));
    }
  }

  #take(message: Call | Answer): void {
    if ("call" in message) return void this.#carryOut(message);
    const { id, value, error } = message;
    const answer = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) answer?.resolve(value);
    else answer?.reject(new Error(error));
  }

  async #carryOut({ call, args, id }: Call): Promise<void> {
    try {
      const value = await (this.ours as Record<string, (...args: readonly unknown[]) => unknown>)[call](
        ...args,
      );
      if (id !== undefined) this.#send({ id, value });
    } catch (error) {
      if (id !== undefined) this.#send({ id, error: error instanceof Error ? error.message : String(error) });
    }
  }
}
