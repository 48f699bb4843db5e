/**
 * Connections to origin servers that wait for the next request of the same client.
 *
 * A pool belongs to one connection of one client: what a server learned about that connection (NTLM logs in a
 * connection, not a request) is never of use to anybody else. Within it, user, target and way have to be the same.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Destination, Line } from "../core/serve.ts";

/** How long a connection waits: less than servers commonly do, so that it is seldom closed as it is taken up. */
const patience = 4000;
const most = 8;
/** How many wait in all, whoever's they are: they take descriptors, and no limit of tunnels counts them. */
const mostInAll = 512;

interface Idle {
  readonly key: string;
  readonly line: Line;
  readonly drop: () => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** What drops each of those that wait, the oldest first. */
const waiting = new Set<() => void>();

/** The idle connections of one client's connection. */
export class Pool {
  #idle: Idle[] = [];

  /** Takes a connection that waits for such a request, and leads there by this way. */
  take(destination: Destination, way: object): Line | undefined {
    const key = keyOf(destination);
    const found = this.#idle.find((idle) => idle.key === key && idle.line.way === way);
    if (found === undefined) return undefined;
    if (found.line.conn.buffered.length > 0) return void this.#drop(found);
    this.#forget(found);
    return found.line;
  }

  /** Keeps a connection whose last response has been read to its end. */
  put(destination: Destination, line: Line): void {
    const drop = () => {
      if (this.#forget(idle)) line.conn.close();
    };
    const idle: Idle = { key: keyOf(destination), line, drop, timer: setTimeout(drop, patience) };
    this.#idle.push(idle);
    waiting.add(drop);
    // Whatever comes now answers no request: the end, or bytes that must not be taken for the next response.
    line.conn.fill().then(drop, drop);
    if (this.#idle.length > most) this.#drop(this.#idle[0]);
    if (waiting.size > mostInAll) { for (const oldest of waiting) return oldest(); }
  }

  /** Closes them all. */
  close(): void {
    for (const idle of [...this.#idle]) this.#drop(idle);
  }

  #drop(idle: Idle): void {
    this.#forget(idle);
    idle.line.conn.close();
  }

  #forget(idle: Idle): boolean {
    clearTimeout(idle.timer);
    waiting.delete(idle.drop);
    const at = this.#idle.indexOf(idle);
    if (at >= 0) this.#idle.splice(at, 1);
    return at >= 0;
  }
}

/** One form for one place: names do not tell case. */
function keyOf({ user, target, request }: Destination): string {
  return JSON.stringify([user ?? null, formatEndpoint(target).toLowerCase(), request?.absolute ?? false]);
}
