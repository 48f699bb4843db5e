/**
 * Spares Deno what the worker is woken for.
 *
 * Deno puts each socket into its epoll once and for all, for both directions and for every edge; so it wakes up, some
 * three times for each MiB, for bytes that it has nothing to do with any more. The kernel tells what is in an epoll, and
 * with it a direction can be taken out. Nothing has to put it back: a direction that is carried ends as such.
 *
 * @module
 */
import { epoll, type Libc } from "./libc.ts";

/** A runtime opens its epoll before most other things. */
const early = Array.from({ length: 61 }, (_, index) => index + 3);

/** The epoll in which the runtime has its sockets. */
export class RuntimePoll {
  /** Where it may be; nowhere once it was looked for in vain. */
  #candidates: readonly number[];

  constructor(readonly c: Libc, candidates = early) {
    this.#candidates = candidates;
  }

  /** What arrives at `from`, and room in `to`, are not for the runtime. What is not as expected stays as it is. */
  leave(from: number, to: number): void {
    const found = this.#candidates.find((poll) => this.#leave(poll, from, to));
    this.#candidates = found === undefined ? [] : [found];
  }

  #leave(poll: number, from: number, to: number): boolean {
    const entries = this.c.describe(poll);
    const source = registration(entries, from);
    const sink = registration(entries, to);
    if (source === undefined || sink === undefined) return false;
    const left = this.c.epollModify(poll, from, source.events & ~(epoll.IN | epoll.RDHUP), source.data);
    return this.c.epollModify(poll, to, sink.events & ~epoll.OUT, sink.data) === 0 && left === 0;
  }
}

interface Registration {
  readonly events: number;
  /** Means something to the runtime alone. */
  readonly data: bigint;
}

/**
 * Of a descriptor, as `/proc/self/fdinfo` lists it. The kernel changes one by the descriptor and what is behind it now;
 * the list has the number only, so there must not be another entry with it.
 */
function registration(entries: string, fd: number): Registration | undefined {
  const pattern = new RegExp(`^tfd: *${fd} events: *([0-9a-f]+) data: *([0-9a-f]+)\\b`, "gm");
  const [one, ...others] = entries.matchAll(pattern);
  if (one === undefined || others.length > 0) return;
  const events = parseInt(one[1], 16);
  return events & epoll.EDGE ? { events, data: BigInt(`0x${one[2]}`) } : undefined;
}
