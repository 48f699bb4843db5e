/**
 * The direct way to a target: names are resolved here and their addresses raced (Happy Eyeballs, RFC 8305).
 *
 * @module
 */
import { formatEndpoint, ipVersion, literalAddress } from "./address.ts";
import type { Conn, Context, Endpoint } from "./conn.ts";
import type { Dialer } from "./dialer.ts";
import { ProxyError } from "./errors.ts";
import { background } from "./handshake.ts";
import { Scope } from "./scope.ts";
import { traced } from "./trace.ts";

/** What the direct dialer needs of a runtime. */
export interface Network {
  /** Connects to an address literal. */
  connect(address: Endpoint, ctx: Context): Promise<Conn>;
  /** The addresses of one family that a name has; none rather than an error where the other may have some. */
  resolve(hostname: string, family: 4 | 6, ctx: Context): Promise<string[]>;
}

/** RFC 8305 section 8: how long to wait for AAAA once A has come, and between two attempts. */
export const delays = { resolution: 50, attempt: 250 };

/** A dialer that connects by itself. */
export function directDialer(network: Network): Dialer {
  return {
    dial(target, ctx = background) {
      if (ipVersion(target.hostname) !== 0) return connect(network, target, ctx);
      return new Race(network, target, ctx).result;
    },
  };
}

function connect(network: Network, address: Endpoint, ctx: Context): Promise<Conn> {
  if (ctx.trace === undefined) return network.connect(address, ctx);
  return traced(ctx, "connect", formatEndpoint(address), () => network.connect(address, ctx));
}

function lookUp(network: Network, hostname: string, family: 4 | 6, ctx: Context): Promise<string[]> {
  const subject = `${hostname} ${family === 4 ? "A" : "AAAA"}`;
  return traced(
    ctx,
    "resolve",
    subject,
    () => network.resolve(hostname, family, ctx),
    (addresses) => ({ addresses: [...addresses] }),
  );
}

/**
 * A dialer for what clients ask for. An address has to pass `ctx.guard`, in whatever spelling it comes and whatever
 * name it was found for, and what has passed is what is connected to.
 */
export function guardedDialer(network: Network): Dialer {
  const direct = directDialer(network);
  return {
    dial(target, ctx = background) {
      const { guard } = ctx;
      const address = literalAddress(target.hostname);
      const place = address === undefined ? target : { hostname: address, port: target.port };
      if (guard === undefined) return direct.dial(place, ctx);
      const why = address && guard.reached(place, address);
      if (why !== undefined) return Promise.reject(denied(why));
      return directDialer({
        connect: network.connect.bind(network),
        async resolve(hostname, family, ctx) {
          const addresses = await network.resolve(hostname, family, ctx);
          const reasons = addresses.map((address) => guard.reached(target, address));
          const open = addresses.filter((_, index) => reasons[index] === undefined);
          const [why] = reasons;
          if (open.length === 0 && why !== undefined) throw denied(why);
          return open;
        },
      }).dial(place, ctx);
    },
  };
}

/** What to throw for a target that a guard keeps a client from. */
export function denied(why: string): ProxyError {
  return new ProxyError(why, { code: "denied", side: "local", stage: "request", hop: 0, label: "hopline" });
}

/** One race: attempts start in turn, the first connection wins, the others are closed. */
class Race {
  readonly result: Promise<Conn>;
  #settle!: { resolve(conn: Conn): void; reject(error: unknown): void };
  /** What the attempts and lookups of this race get; it is aborted with the dial, and when there is a winner. */
  readonly #race: Scope;
  readonly #addresses: Record<4 | 6, string[]> = { 4: [], 6: [] };
  #lookups = 2;
  #running = 0;
  #turn: 4 | 6 = 6;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #started = false;
  #over = false;
  #error: unknown;

  constructor(readonly network: Network, readonly target: Endpoint, ctx: Context) {
    this.result = new Promise((resolve, reject) => this.#settle = { resolve, reject });
    this.#race = new Scope(ctx);
    new Scope(this.#race, { abort: (reason) => this.#over || this.#fail(reason) });
    if (this.#race.aborted) return;
    this.#lookUp(6);
    this.#lookUp(4);
  }

  async #lookUp(family: 4 | 6): Promise<void> {
    try {
      this.#addresses[family] = await lookUp(this.network, this.target.hostname, family, this.#race);
    } catch (error) {
      this.#note(error);
    }
    this.#lookups--;
    if (this.#over) return;
    if (this.#started) {
      // No timer: either nothing runs, or the turn of the next address came before there was one.
      if (this.#timer === undefined) this.#next();
    } else if (family === 6 || this.#lookups === 0) this.#next();
    else this.#timer ??= setTimeout(() => this.#next(), delays.resolution);
  }

  /** Starts the next attempt, families taking turns. */
  #next(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const hostname = this.#shift();
    if (hostname === undefined) {
      if (this.#running === 0 && this.#lookups === 0) {
        this.#fail(this.#error ?? unknownName(this.target.hostname));
      }
      return;
    }
    this.#started = true;
    this.#running++;
    this.#timer = setTimeout(() => this.#next(), delays.attempt);
    connect(this.network, { hostname, port: this.target.port }, this.#race).then(
      (conn) => this.#over ? conn.close() : this.#win(conn),
      (error) => {
        this.#running--;
        this.#note(error);
        if (!this.#over) this.#next();
      },
    );
  }

  #shift(): string | undefined {
    const other = this.#turn === 6 ? 4 : 6;
    const family = this.#addresses[this.#turn].length > 0 ? this.#turn : other;
    this.#turn = family === 6 ? 4 : 6;
    return this.#addresses[family].shift();
  }

  /** Keeps the error that says most: that nothing listens says more than that a family has no route. */
  #note(error: unknown): void {
    const says = (e: unknown) => e instanceof ProxyError ? likely.indexOf(e.code) : -1;
    if (this.#error === undefined || says(error) > says(this.#error)) this.#error = error;
  }

  #win(conn: Conn): void {
    this.#finish();
    this.#settle.resolve(conn);
  }

  #fail(error: unknown): void {
    this.#finish();
    this.#settle.reject(error);
  }

  #finish(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#race.abort(
      new ProxyError("not needed any more", { code: "closed", side: "local", stage: "connect" }),
    );
  }
}

/** What to throw for a name without an address. */
export function unknownName(hostname: string): ProxyError {
  return new ProxyError(`the name ${hostname} has no address`, {
    code: "resolve",
    side: "upstream",
    stage: "resolve",
  });
}

const likely = ["resolve", "failed", "closed", "address"].concat(
  ["netUnreachable", "unreachable", "timeout", "denied", "refused", "limit"],
);
