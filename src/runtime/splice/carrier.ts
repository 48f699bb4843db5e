/**
 * One direction in the worker: from a socket into a pipe, and out of the pipe into the other socket.
 *
 * @module
 */
import { errno, type Libc, pipeSize } from "./libc.ts";
import type { Descriptors, Ending } from "./table.ts";

/** After so many pipes full the other directions have their turn. */
const roundsPerTurn = 16;

/** Moves bytes while both ends are willing. */
export class Carrier {
  readable = true;
  writable = true;
  moved = 0;
  /** Bytes in the pipe. */
  #held = 0;

  constructor(readonly c: Libc, readonly epoll: number, readonly fds: Descriptors) {}

  /** Whether another turn may move something. */
  get eager(): boolean {
    return this.#held > 0 ? this.writable : this.readable;
  }

  /** Moves what can be moved now; says how the direction ended, if it has. */
  turn(): Ending | undefined {
    const { from, to, pipeOut, pipeIn } = this.fds;
    for (let round = 0; round < roundsPerTurn && this.eager; round++) {
      // Only an empty pipe is filled, so that EAGAIN is always the socket's.
      if (this.#held === 0) {
        const n = this.#splice(from, pipeIn, pipeSize);
        if (n === 0) return this.end();
        if (n > 0) this.#held = n;
        else if (n === -errno.EAGAIN) this.readable = false;
        else return this.end("source", -n);
      }
      while (this.#held > 0 && this.writable) {
        const n = this.#splice(pipeOut, to, this.#held);
        if (n > 0) {
          this.#held -= n;
          this.moved += n;
        } else if (n === -errno.EAGAIN) this.writable = false;
        else return this.end("sink", -n);
      }
    }
  }

  /** Closes the descriptors. */
  end(broken?: Ending["broken"], errno?: number): Ending {
    abandon(this.c, this.epoll, this.fds);
    return { lost: this.#held, broken, errno };
  }

  #splice(from: number, to: number, length: number): number {
    for (;;) {
      const n = this.c.splice(from, to, length);
      if (n !== -errno.EINTR) return n;
    }
  }
}

/** Closes the descriptors. Closing one that is a duplicate would not take it off the epoll. */
export function abandon(c: Libc, epoll: number, { from, to, pipeOut, pipeIn }: Descriptors): void {
  c.epollDelete(epoll, from);
  c.epollDelete(epoll, to);
  for (const fd of [from, to, pipeOut, pipeIn]) c.close(fd);
}
