/**
 * A worker's seat: the process that has it, and the next one when that ends.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { ChildProcess } from "node:child_process";
import process from "node:process";
import type { Readable } from "node:stream";
import type { Log } from "../../log.ts";
import type { Orders, WorkerCalls } from "./calls.ts";
import { Channel } from "./channel.ts";
import { spawnWorker } from "./spawn.ts";

/** How long until a worker that has ended is replaced: at first, at most, and when all is forgiven. */
const backOff = { firstMs: 100, mostMs: 10_000, forgivenMs: 10_000 };

/** What a seat needs of the service that it belongs to. */
export interface Employer {
  readonly log: Log;
  /** What the next worker is told. */
  orders(): Orders;
  /** What it may ask for. */
  calls(seat: number): object;
  /** A worker is gone. */
  left(seat: number): void;
}

/** The seat of one worker at a time. */
export class Seat {
  /** The number of the worker that has it, or had it last. */
  number = 0;
  /** The way to the worker; without one there is none. */
  channel: Channel<WorkerCalls> | undefined;
  #child: ChildProcess | undefined;
  #ended = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #closing = false;

  constructor(readonly index: number, readonly employer: Employer) {}

  /** Seats a worker; resolves when it listens. Rejects when it can't. */
  async start(): Promise<void> {
    const orders = this.employer.orders();
    const worker = this.number = orders.number;
    const since = performance.now();
    const child = this.#child = spawnWorker();
    const channel = this.channel = new Channel(child.stdout!, child.stdin!, this.employer.calls(this.index));
    passOn(child.stderr!);
    const ended = Promise.withResolvers<void>();
    this.#ended = ended.promise;
    child.on("error", () => {});
    child.on("close", (code, signal) => {
      this.channel = this.#child = undefined;
      this.employer.left(this.index);
      ended.resolve();
      if (this.#closing) return;
      if (performance.now() - since >= backOff.forgivenMs) this.#failures = 0;
      this.employer.log("warn", "worker.exited", {
        worker,
        pid: child.pid,
        ...(signal === null ? { code } : { signal }),
      });
      this.#startLater();
    });
    await channel.call("start", orders);
    this.employer.log("info", "worker.started", { worker, pid: child.pid });
  }

  /** The worker drains, and another takes its seat. */
  retire(): void {
    this.channel?.tell("drain");
  }

  /** The worker drains, and nobody takes its seat. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    this.retire();
    await this.#ended;
  }

  /** Ends the worker at once. */
  kill(): void {
    this.#closing = true;
    clearTimeout(this.#timer);
    this.#child?.kill("SIGKILL");
  }

  #startLater(): void {
    if (this.#timer !== undefined) return;
    const delay = Math.min(backOff.firstMs * 2 ** this.#failures++, backOff.mostMs);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.start().catch((error) => this.#failed(error));
    }, delay);
  }

  #failed({ message }: Error): void {
    if (this.#closing) return;
    this.employer.log("error", "worker.failed", { worker: this.number, message });
    if (this.#child === undefined) this.#startLater();
    else this.#child.kill("SIGKILL");
  }
}

/** Writes what comes line by line, so that the lines of several workers don't mix. */
function passOn(from: Readable): void {
  let rest: Buffer = Buffer.alloc(0);
  from.on("data", (chunk: Buffer) => {
    const end = chunk.lastIndexOf("\n") + 1;
    if (end === 0) return void (rest = Buffer.concat([rest, chunk]));
    process.stderr.write(Buffer.concat([rest, chunk.subarray(0, end)]));
    rest = chunk.subarray(end);
  });
  from.on("end", () => rest.length > 0 && process.stderr.write(Buffer.concat([rest, Buffer.from("\n")])));
}
