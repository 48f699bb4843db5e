/**
 * The kernel relay as the main thread sees it: directions are offered to a worker that moves their bytes by splice(2),
 * without any of them coming here.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { Broken, Direction, Flow } from "../../core/relay.ts";
import { isScarce } from "../descriptors.ts";
import { abandon } from "./carrier.ts";
import { epoll, type Libc, openLibc } from "./libc.ts";
import {
  bellEvent,
  type Descriptors,
  type Ending,
  type Message,
  type Setup,
  slots,
  sourceEvent,
  state,
  Table,
} from "./table.ts";

/** A direction that is being carried. */
export interface Carriage {
  /** Resolves when it is over, and the worker has let go of the sockets. */
  readonly ending: Promise<Ending>;
  /** Ends it at once. Idempotent. */
  cancel(): void;
}

/** What it takes to carry; made when first needed. */
interface Engine {
  readonly c: Libc;
  readonly epoll: number;
  readonly bell: number;
  readonly worker: Worker;
  /** Sources are held to a receive buffer. */
  readonly bounded: boolean;
}

/**
 * Handing over costs about what it saves on the next 1.2 MiB on Bun, and 2 on Deno. Asking for as much before bounds
 * what a direction wastes that ends right behind it.
 */
const bulk = 1 << 20;

/**
 * How much of a source the kernel may keep while its sink is stalled: what Linux lets a socket have, unless it is told
 * otherwise. Where it is, a source that is read this fast soon has all of it, 32 MiB or more.
 */
const received = 6 << 20;

/** Whether a socket may be given that much; less than it would get by itself is no help. */
function mayBound(): boolean {
  try {
    return 2 * Number(readFileSync("/proc/sys/net/core/rmem_max", "utf8")) >= received;
  } catch {
    return false;
  }
}

/** One worker, and what it carries. */
export class KernelRelay {
  /** Resolves to the reason if it turns out that nothing can be carried. */
  readonly failed: Promise<unknown>;
  readonly #fail: (reason: unknown) => void;
  readonly #table = new Table();
  readonly #carried = new Map<number, (ending: Ending) => void>();
  #engine: Engine | undefined;
  #state: "off" | "starting" | "ready" | "failed" = "off";

  constructor(
    /** The path of the worker's module. */
    readonly module: string,
    readonly threshold = bulk,
  ) {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.failed = promise;
    this.#fail = (reason) => {
      this.#state = "failed";
      resolve(reason);
    };
  }

  /** Whether it takes directions; asked for the first time, it gets ready for the next. */
  get ready(): boolean {
    if (this.#state === "off") this.#start();
    return this.#state === "ready" && this.#carried.size < slots;
  }

  /** The C library, while ready. */
  get libc(): Libc {
    return this.#engine!.c;
  }

  /** Resolves once it is clear whether it takes directions. */
  async started(): Promise<boolean> {
    while (!this.ready && this.#state !== "failed") await new Promise((wait) => setTimeout(wait, 5));
    return this.ready;
  }

  /** How many directions are being carried. */
  get carrying(): number {
    return this.#carried.size;
  }

  /** Carries the rest of a direction between two sockets; `null` when the system won't have one more. */
  carry(from: number, to: number, flow: Flow, direction: Direction): Carriage | null {
    const { c, bell, worker } = this.#engine!;
    const slot = this.#freeSlot();
    const fds = slot === undefined ? null : this.#open(from, to, slot);
    if (slot === undefined || fds === null) return null;
    const { promise: ending, resolve } = Promise.withResolvers<Ending>();
    const before = flow.bytes[direction];
    const meter = () => {
      flow.bytes[direction] = before + this.#table.moved(slot);
      flow.last = Math.max(flow.last, this.#table.last(slot) - performance.timeOrigin);
    };
    const over = (ending: Ending) => {
      meter();
      flow.meters!.delete(meter);
      this.#table.become(slot, state.free);
      this.#carried.delete(slot);
      if (this.#carried.size === 0) worker.unref();
      resolve(ending);
    };
    (flow.meters ??= new Set()).add(meter);
    if (this.#carried.size === 0) worker.ref();
    this.#carried.set(slot, over);
    this.#table.offer(slot, fds);
    worker.postMessage(null);
    c.signal(bell);
    return {
      ending,
      cancel: () => {
        if (this.#carried.get(slot) !== over) return;
        if (this.#table.change(slot, state.offered, state.free)) {
          abandon(c, this.#engine!.epoll, fds);
          over({ lost: 0 });
        } else if (this.#table.change(slot, state.taken, state.cancelled)) c.signal(bell);
      },
    };
  }

  #freeSlot(): number | undefined {
    for (let slot = 0; slot < slots; slot++) if (!this.#carried.has(slot)) return slot;
  }

  /** Gets all that a direction needs, or nothing. */
  #open(from: number, to: number, slot: number): Descriptors | null {
    const { c, epoll: poll, bounded } = this.#engine!;
    const pipe = c.pipe();
    if (typeof pipe === "number") return null;
    const [pipeOut, pipeIn] = pipe;
    const fds = { from: c.duplicate(from), to: c.duplicate(to), pipeOut, pipeIn };
    const added = Math.min(
      c.epollAdd(poll, fds.from, epoll.IN | epoll.RDHUP | epoll.EDGE, sourceEvent(slot)),
      c.epollAdd(poll, fds.to, epoll.OUT | epoll.EDGE, sourceEvent(slot) + 1),
    );
    if (added === 0 && !Object.values(fds).some(isScarce)) {
      if (bounded) c.receiveBuffer(fds.from, received / 2);
      return fds;
    }
    abandon(c, poll, fds);
    return null;
  }

  #start(): void {
    this.#state = "starting";
    try {
      const c = openLibc();
      const poll = c.epollCreate();
      const bell = c.eventfd();
      if (poll < 0 || bell < 0 || c.epollAdd(poll, bell, epoll.IN, bellEvent) < 0) {
        throw new Error("no descriptors for an epoll");
      }
      const workerData: Setup = { memory: this.#table.memory, epoll: poll, bell };
      const worker = new Worker(this.module, { workerData });
      this.#engine = { c, epoll: poll, bell, worker, bounded: mayBound() };
      worker.on("message", (message: Message) => {
        if ("ready" in message) this.#state = "ready";
        else this.#carried.get(message.slot)?.(message.ending);
      });
      worker.on("error", (error) => {
        this.#fail(error);
        for (const over of this.#carried.values()) over({ lost: 0, broken: "source" });
      });
      worker.unref();
    } catch (error) {
      this.#fail(error);
    }
  }
}

const messages: Record<number, readonly [string, string]> = {
  32: ["EPIPE", "connection closed by the peer"],
  104: ["ECONNRESET", "connection reset by the peer"],
  107: ["ENOTCONN", "the connection is closed"],
  110: ["ETIMEDOUT", "connection timed out"],
  113: ["EHOSTUNREACH", "host unreachable"],
};

/** What broke, if something did. */
export function brokenBy({ broken: end, errno = 0 }: Ending): Broken | undefined {
  if (end === undefined) return undefined;
  const [code, message] = messages[errno] ?? ["EIO", `the connection broke (error ${errno})`];
  return { end, error: Object.assign(new Error(message), { code }) };
}
