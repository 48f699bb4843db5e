/**
 * The server: accepts, counts, replaces its plan while it runs, and drains.
 *
 * @module
 */
import { formatEndpoint } from "./core/address.ts";
import type { Endpoint, Listener } from "./core/conn.ts";
import type { Dialer } from "./core/dialer.ts";
import { ProxyError } from "./core/errors.ts";
import { Scope } from "./core/scope.ts";
import type { Config } from "./config/schema.ts";
import { lineLog, type Log, logs } from "./log.ts";
import { Arrivals, OwnPlaces, type Places, refused } from "./places.ts";
import { makePlan, type Plan } from "./plan.ts";
import { OutgoingAddresses } from "./runtime/outgoing.ts";
import { currentRuntime, type Runtime } from "./runtime/runtime.ts";
import { kernelRelay, unavailable } from "./runtime/splice/available.ts";
import type { KernelRelay } from "./runtime/splice/relay.ts";
import { type House, serveConn, type Service } from "./session.ts";
import { messageOf } from "./tunnel.ts";

/** What a program may put in the place of what the configuration says. */
export interface ServerOptions {
  /** The way to every target, instead of the configured chains and routes. */
  readonly dialer?: Dialer;
  /** Where events go, instead of standard error. */
  readonly log?: Log;
  /** `false` keeps bulk flows from the kernel; on Linux they go there where the runtime's permissions allow it. */
  readonly splice?: boolean;
}

/** What a server may have in common with others that serve the same listeners. */
export interface Crew {
  readonly runtime: Runtime;
  readonly places: Places;
  readonly outgoing: House["outgoing"];
  nextId(): number;
  /** Whether each says for itself that its listeners are ready. */
  readonly announces: boolean;
}

/** A listener's port can't be had. */
export class ListenError extends Error {
  /** The class, for those who print it. */
  override readonly name = "ListenError";
}

/** How often a port that was just given up is asked for, and how long to rest between. */
const attempts = 50;
const restMs = 10;

interface Open {
  listener: Listener;
  /** What its next client gets; a reload puts another in its place. */
  service: Service;
}

/** Serves a configuration until it is closed. */
export class Server implements AsyncDisposable {
  readonly #runtime: Runtime;
  readonly #options: ServerOptions;
  readonly #places: Places;
  readonly #arrivals = new Arrivals();
  readonly #announces: boolean;
  #sessions = 0;
  /** Resolved when the last session has gone while the server closes. */
  readonly #emptied = Promise.withResolvers<void>();
  readonly #stopping = new Scope();
  readonly #house: House;
  /** Where the server's events go. */
  log: Log = () => {};
  #open = new Map<string, Open>();
  #plan!: Plan;
  /** Aborts when the plan is replaced, or the server drains. */
  #retiring = new AbortController();
  #tunnels = 0;
  #closing = false;
  /** Resolved when the last tunnel has gone while the server closes. */
  readonly #drained = Promise.withResolvers<void>();

  private constructor(crew: Crew, options: ServerOptions, kernel: KernelRelay | undefined) {
    const { runtime, places, outgoing } = crew;
    this.#runtime = runtime;
    this.#places = places;
    this.#announces = crew.announces;
    this.#options = options;
    this.#house = {
      log: (level, event, fields) => this.log(level, event, fields),
      logs: (level) => this.#options.log !== undefined || logs(this.#plan.log.level, level),
      instance: crypto.randomUUID(),
      nextId: () => crew.nextId(),
      join: kernel === undefined ? runtime.join : runtime.spliced(kernel),
      stopping: this.#stopping,
      arrive: (client) => this.#arrivals.add(client, this.#plan.limits),
      depart: (client) => this.#arrivals.remove(client),
      admit: (client, user) => this.#admit(client, user),
      leave: (client, user) => this.#leave(client, user),
      left: () => this.#left(),
      outgoing,
    };
  }

  /** Binds every listener and serves. @throws ListenError */
  static async start(config: Config, options: ServerOptions = {}, crew?: Crew): Promise<Server> {
    const { splice = true } = options;
    const kernel = splice ? kernelRelay() : undefined;
    const server = new Server(crew ?? alone(await currentRuntime()), options, kernel);
    await server.replace(config);
    const off = (reason: unknown) => server.log("debug", "splice.off", { reason: messageOf(reason) });
    if (kernel !== undefined) kernel.failed.then(off);
    else if (splice) off(unavailable());
    return server;
  }

  /** The bound addresses, in the order of the configuration. */
  get addresses(): Endpoint[] {
    return [...this.#open.values()].map(({ listener }) => listener.addr);
  }

  /**
   * Takes up a new configuration: unchanged listeners keep their sockets, live tunnels go on as they are. When a new
   * port can't be had, or the server is closed, nothing changes.
   *
   * @throws ListenError
   */
  async replace(config: Config): Promise<void> {
    const retiring = new AbortController();
    const { log } = this.#house;
    const plan = makePlan(config, this.#runtime, log, retiring.signal, this.#options.dialer, this.#plan);
    const planned = new Map(plan.listeners.map((one) => [one.key, one]));
    const open = new Map<string, Open>();
    const added: Open[] = [];
    const leaving = [...this.#open].filter(([key]) => !planned.has(key)).map(([, entry]) => entry);
    const displaced: Open[] = [];
    try {
      for (const [key, { address, service }] of planned) {
        const kept = this.#open.get(key);
        const entry = kept ?? { listener: await this.#displace(address, leaving, displaced), service };
        if (kept === undefined) added.push(entry);
        open.set(key, entry);
      }
      if (this.#closing) throw new ListenError("the server is closed");
    } catch (error) {
      for (const { listener } of added) listener.close();
      retiring.abort();
      for (const entry of displaced) await this.#reopen(entry);
      throw error;
    }
    for (const { listener } of leaving) listener.close();
    this.#plan = plan;
    this.#places.limit(plan.limits);
    this.#open = open;
    this.#retiring.abort();
    this.#retiring = retiring;
    this.log = this.#options.log ?? lineLog(plan.log);
    for (const [index, entry] of [...open.values()].entries()) {
      entry.service = { ...plan.listeners[index].service, listener: formatEndpoint(entry.listener.addr) };
    }
    for (const entry of added) {
      const listener = formatEndpoint(entry.listener.addr);
      if (this.#announces) this.log("info", "listener.ready", { listener, address: listener });
      this.#accept(entry);
    }
  }

  /** Stops accepting, lets live tunnels finish for up to `drain` milliseconds, then ends them. */
  async close(drain: number = this.#plan.drain): Promise<void> {
    this.#closing = true;
    this.#retiring.abort();
    for (const { listener } of this.#open.values()) listener.close();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((resolve) => timer = setTimeout(resolve, drain));
    if (this.#tunnels > 0) await Promise.race([this.#drained.promise, late]);
    clearTimeout(timer);
    this.#stopping.abort(
      new ProxyError("the server is stopping", { code: "closed", side: "local", stage: "relay" }),
    );
    if (this.#sessions > 0) await this.#emptied.promise;
  }

  /** Closes at once, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0);
  }

  /** Listens. Deno gives the port of a listener that was closed back a little later: with `patience` that is waited for. */
  async #listen(address: Endpoint, patience = false): Promise<Listener> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#runtime.listen(address);
      } catch (error) {
        if (!patience || attempt === attempts || !isInUse(error)) {
          throw cannotListen(address, error);
        }
        await new Promise((done) => setTimeout(done, restMs));
      }
    }
  }

  /** Listens; a listener of ours that leaves anyway makes room, where the port is the same and the address another. */
  async #displace(address: Endpoint, leaving: readonly Open[], displaced: Open[]): Promise<Listener> {
    for (;;) {
      try {
        return await this.#listen(address, displaced.length > 0);
      } catch (error) {
        const ours = leaving.find((entry) =>
          entry.listener.addr.port === address.port && !displaced.includes(entry)
        );
        if (ours === undefined || !isInUse(error)) throw error;
        ours.listener.close();
        displaced.push(ours);
      }
    }
  }

  /** Puts a listener back that had made room for nothing. */
  async #reopen(entry: Open): Promise<void> {
    if (this.#closing) return;
    entry.listener = await this.#listen(entry.listener.addr, true);
    this.#accept(entry);
  }

  async #accept(entry: Open): Promise<void> {
    for await (const conn of entry.listener) {
      this.#sessions++;
      serveConn(conn, entry.service, this.#house);
    }
  }

  #admit(client: string, user?: string): void | Promise<void> {
    if (this.#closing) throw refused("the server is stopping");
    const taken = this.#places.take(client, user);
    return taken === undefined ? this.#enter() : taken.then(() => this.#enter());
  }

  #enter(): void {
    this.#tunnels++;
  }

  #leave(client: string, user?: string): void {
    this.#places.give(client, user);
    if (--this.#tunnels === 0 && this.#closing) this.#drained.resolve();
  }

  #left(): void {
    if (--this.#sessions === 0 && this.#closing) this.#emptied.resolve();
  }
}

/** What keeps a listener from its port. */
export function cannotListen(address: Endpoint, cause: unknown): ListenError {
  return new ListenError(`can't listen on ${formatEndpoint(address)}: ${(cause as Error).message}`, {
    cause,
  });
}

function isInUse(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ((cause as { code?: string }).code === "EADDRINUSE") return true;
  }
  return false;
}

/** A server that shares nothing. */
export function alone(runtime: Runtime): Crew {
  let ids = 0;
  return {
    runtime,
    places: new OwnPlaces(),
    outgoing: new OutgoingAddresses(),
    nextId: () => ++ids,
    announces: true,
  };
}
