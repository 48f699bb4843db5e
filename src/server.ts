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
import { Places, refused } from "./places.ts";
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

/** A listener's port can't be had. */
export class ListenError extends Error {
  /** The class, for those who print it. */
  override readonly name = "ListenError";
}

interface Open {
  readonly listener: Listener;
  /** What its next client gets; a reload puts another in its place. */
  service: Service;
}

/** Serves a configuration until it is closed. */
export class Server implements AsyncDisposable {
  readonly #runtime: Runtime;
  readonly #options: ServerOptions;
  readonly #sessions = new Set<Promise<void>>();
  readonly #places = new Places();
  readonly #stopping = new Scope();
  readonly #house: House;
  /** Where the server's events go. */
  log: Log = () => {};
  #open = new Map<string, Open>();
  #plan!: Plan;
  /** Aborts when the plan is replaced, or the server drains. */
  #retiring = new AbortController();
  #tunnels = 0;
  #ids = 0;
  #closing = false;
  /** Resolved when the last tunnel has gone while the server closes. */
  readonly #drained = Promise.withResolvers<void>();

  private constructor(runtime: Runtime, options: ServerOptions, kernel: KernelRelay | undefined) {
    this.#runtime = runtime;
    this.#options = options;
    this.#house = {
      log: (level, event, fields) => this.log(level, event, fields),
      logs: (level) => this.#options.log !== undefined || logs(this.#plan.log.level, level),
      instance: crypto.randomUUID(),
      nextId: () => ++this.#ids,
      join: kernel === undefined ? runtime.join : runtime.spliced(kernel),
      stopping: this.#stopping,
      admit: (client, user) => this.#admit(client, user),
      outgoing: new OutgoingAddresses(),
    };
  }

  /** Binds every listener and serves. @throws ListenError */
  static async start(config: Config, options: ServerOptions = {}): Promise<Server> {
    const { splice = true } = options;
    const kernel = splice ? kernelRelay() : undefined;
    const server = new Server(await currentRuntime(), options, kernel);
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
    const open = new Map<string, Open>();
    const added: Open[] = [];
    try {
      for (const [index, { address, service }] of plan.listeners.entries()) {
        const key = address.port === 0 ? `${formatEndpoint(address)} ${index}` : formatEndpoint(address);
        const kept = this.#open.get(key);
        const entry = kept ?? { listener: await this.#listen(address), service };
        if (kept === undefined) added.push(entry);
        open.set(key, entry);
      }
      if (this.#closing) throw new ListenError("the server is closed");
    } catch (error) {
      for (const { listener } of added) listener.close();
      retiring.abort();
      throw error;
    }
    for (const [key, { listener }] of this.#open) if (!open.has(key)) listener.close();
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
      this.log("info", "listener.ready", { listener, address: listener });
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
    await Promise.allSettled(this.#sessions);
  }

  /** Closes at once, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0);
  }

  async #listen(address: Endpoint): Promise<Listener> {
    try {
      return await this.#runtime.listen(address);
    } catch (error) {
      throw new ListenError(`can't listen on ${formatEndpoint(address)}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  async #accept(entry: Open): Promise<void> {
    for await (const conn of entry.listener) {
      const session = serveConn(conn, entry.service, this.#house);
      this.#sessions.add(session);
      session.finally(() => this.#sessions.delete(session));
    }
  }

  #admit(client: string, user?: string): () => void {
    if (this.#closing) throw refused("the server is stopping");
    this.#places.take(client, user);
    this.#tunnels++;
    return () => {
      this.#places.give(client, user);
      if (--this.#tunnels === 0 && this.#closing) this.#drained.resolve();
    };
  }
}
