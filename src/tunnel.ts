/**
 * One tunnel: from the request for it, over the dial and the relay, to its log line.
 *
 * @module
 */
import { formatEndpoint } from "./core/address.ts";
import {
  BufferedConn,
  type Client,
  type Conn,
  type Context,
  type Endpoint,
  type Guard,
} from "./core/conn.ts";
import { denied } from "./core/direct.ts";
import { asProxyError, printable, ProxyError } from "./core/errors.ts";
import { type Closable, type RelayResult, startRelay } from "./core/relay.ts";
import { Scope } from "./core/scope.ts";
import type { Destination, Line, Way } from "./core/serve.ts";
import { ThrottledConn } from "./core/throttle.ts";
import { Trail } from "./core/trail.ts";
import type { Fields } from "./log.ts";
import type { Routed } from "./routing/router.ts";
import type { House, Service } from "./session.ts";

/** A tunnel that a client asked for. */
export class Tunnel implements Way, Closable {
  line!: Line;
  status?: number;
  readonly #started = performance.now();
  readonly #id: number;
  #routed?: Routed;
  #trail: Trail | undefined;
  /** It has a place among the tunnels of the house. */
  #admitted = false;
  /** The peer's connection has become this tunnel. */
  #whole = false;
  /** Resolves what waits for the relay. */
  #closed: (() => void) | undefined;

  constructor(
    /** The connection itself, which may come from a proxy in front that speaks for the client. */
    readonly peer: Conn,
    readonly client: Client,
    readonly service: Service,
    readonly house: House,
    readonly protocol: string,
    readonly destination: Destination,
    /** Aborts when nobody wants to be dialled for any more. */
    readonly wanted?: Scope,
  ) {
    this.#id = house.nextId();
  }

  get conn(): BufferedConn {
    return this.line.conn;
  }

  /** Dials. @throws ProxyError, which has been logged */
  async open(): Promise<this> {
    try {
      if (this.service.gate !== null && this.destination.user === undefined) {
        throw local("denied", "the client has not authenticated");
      }
      this.#refuseLoop();
      const admitted = this.house.admit(this.client.source?.hostname ?? "", this.destination.user);
      if (admitted !== undefined) await admitted;
      this.#admitted = true;
      const why = this.#guard?.asked(this.destination.target);
      if (why !== undefined) throw denied(why);
      const routed = this.#route();
      this.#routed = routed instanceof Promise ? await routed : routed;
      if (this.service.reverse && !this.destination.configured && !this.#routed.named) {
        throw local("denied", "no route names this site in its `to`");
      }
      this.line = this.#reused(this.#routed) ?? await this.#dial();
      return this;
    } catch (error) {
      throw this.#notOpened(error);
    }
  }

  get #guard(): Guard | undefined {
    return this.destination.configured ? undefined : this.service.guard;
  }

  /** Finds the way. */
  #route(): Routed | Promise<Routed> {
    const { client, house, service, destination: { target, user }, protocol } = this;
    return service.route({ target, user, client, protocol }, house.stopping);
  }

  #reused({ way }: Routed): Line | undefined {
    const line = this.destination.request?.reuse?.(way);
    this.#trail = line?.trail;
    this.#trail?.enter();
    return line;
  }

  async renew(): Promise<void> {
    this.conn.abort();
    this.#trail?.leave();
    try {
      this.line = await this.#dial();
    } catch (error) {
      throw this.#notOpened(error);
    }
  }

  #notOpened(error: unknown): ProxyError {
    const failure = asProxyError(error, { code: "failed", side: "local", stage: "connect" }).at(0, "direct");
    if (failure.side === "client") this.#event("info", "tunnel.closed", { reason: failure.message });
    else this.#failed({}, failure);
    this.#trail?.leave();
    this.#leave();
    return failure;
  }

  relay(client: Conn): Promise<void> {
    return new Promise((resolve) => {
      this.#closed = resolve;
      this.#start(client, this.line);
    });
  }

  become(client: Conn): void {
    const { line } = this;
    this.#whole = true;
    // Tunnels last, and there are thousands of them.
    this.line = undefined!;
    this.#start(client, line);
  }

  #start(client: Conn, { conn, meter }: Line): void {
    const { join, stopping: within } = this.house;
    startRelay(client, conn, this.service.timeouts, this, { join, within, meter });
  }

  #leave(): void {
    if (this.#admitted) this.house.leave(this.client.source?.hostname ?? "", this.destination.user);
    this.#admitted = false;
  }

  close({ bytesUp, bytesDown, failure }: RelayResult): void {
    this.#leave();
    this.#trail?.leave();
    const counts = { ...(this.status !== undefined && { status: this.status }), bytesUp, bytesDown };
    // A client that leaves in a hurry is no failure of the tunnel, and neither is a target that has said its last word
    // and will not take the client's: after its own close_notify, every TLS server does so with the client's.
    if (failure?.side === "upstream" && !failure.late) {
      const error = asProxyError(failure.error, { code: "closed", side: "upstream", stage: "relay" });
      this.#failed(counts, (this.line?.proxy?.at?.(error) ?? error).at(0, "direct"));
    } else {
      const reason = failure === undefined ? undefined : messageOf(failure.error);
      this.#event("info", "tunnel.closed", { ...counts, reason });
    }
    this.#closed?.();
    if (!this.#whole) return;
    this.peer.close();
    this.house.left();
  }

  async #dial(): Promise<Line> {
    const { stopping, outgoing } = this.house;
    const chooses = this.#routed!.chooses || this.destination.among !== undefined;
    const trail = this.#trail = chooses ? new Trail() : undefined;
    const client = this.client.uniqueId === undefined
      ? new NamedClient(this.client, this.house.instance, this.#id)
      : this.client;
    const scope = new Scope(stopping, null, { outgoing, client, guard: this.#guard, trail });
    const wanted = this.wanted && new Scope(this.wanted, scope);
    try {
      scope.throwIfAborted();
      return await this.#reach(this.#routed!, scope);
    } finally {
      scope.leave();
      wanted?.leave();
    }
  }

  async #reach({ dialer, way, target: led }: Routed, ctx: Context): Promise<Line> {
    const { target, user, request } = this.destination;
    // A route with a target knows itself how that is spoken to.
    const { layer, among }: Partial<Destination> = led === undefined ? this.destination : {};
    // Only what goes to port 80 is sure to be HTTP for everybody on the way.
    const proxy = request?.absolute && target.port === 80 ? await dialer.forward?.(target, ctx) : undefined;
    const conn = proxy?.conn ?? await (among?.(dialer) ?? dialer).dial(target, ctx);
    try {
      // Our own connection may have been accepted before its dial returned.
      this.#refuseLoop();
      const inner = layer === undefined ? conn : await layer(conn, target, ctx);
      const bandwidths = this.service.bandwidths?.(user) ?? [];
      const throttled = bandwidths.length > 0 ? new ThrottledConn(inner, bandwidths) : undefined;
      return {
        conn: BufferedConn.of(throttled ?? inner),
        proxy: proxy?.tunnel ? undefined : proxy,
        way,
        trail: this.#trail,
        meter: throttled?.meter,
      };
    } catch (error) {
      conn.abort();
      throw error;
    }
  }

  #refuseLoop(): void {
    const { localAddr, remoteAddr } = this.peer;
    const { source, destination } = this.client;
    if (this.#isOurs(remoteAddr, localAddr) || this.#isOurs(source, destination)) {
      throw local(
        "loop",
        "the connection comes from this program itself: the chain leads back to its own listener",
      );
    }
  }

  #isOurs(from: Endpoint | null | undefined, to: Endpoint | null | undefined): boolean {
    return from != null && to != null && this.house.outgoing.has(from, to);
  }

  #failed(fields: Fields, failure: ProxyError): void {
    this.#event("warn", "tunnel.failed", { ...fields, error: errorFields(failure) });
  }

  #event(level: "info" | "warn", event: string, fields: Fields): void {
    if (!this.house.logs(level)) return;
    const durationMs = Math.round(performance.now() - this.#started);
    const { user, target, request } = this.destination;
    const { route, target: led, names: via } = this.#routed ?? {};
    const taken = this.#trail?.target;
    this.house.log(level, event, {
      id: this.#id,
      listener: this.service.listener,
      client: clientName(this.client.source),
      protocol: this.protocol,
      user,
      ...(request && { method: request.method }),
      target: formatEndpoint(led === undefined ? taken ?? target : target),
      ...(led && { server: formatEndpoint(taken ?? led) }),
      ...(route !== undefined && { route }),
      via: this.#trail?.via ?? via,
      ...fields,
      durationMs,
    });
  }
}

/** A client with a unique id, which hardly anybody asks for. */
class NamedClient implements Client {
  readonly source?: Endpoint;
  readonly destination?: Endpoint;
  readonly alpn?: string;
  readonly serverName?: string;

  constructor(client: Client, readonly instance: string, readonly id: number) {
    this.source = client.source;
    this.destination = client.destination;
    this.alpn = client.alpn;
    this.serverName = client.serverName;
  }

  get uniqueId(): Uint8Array {
    return new TextEncoder().encode(`${this.instance}-${this.id}`);
  }
}

/** A client as the log names it. */
export function clientName(client: Endpoint | undefined): string {
  return client === undefined ? "unknown" : formatEndpoint(client);
}

/** An error as the log tells it. */
export function errorFields({ code, hop, label, stage, message }: ProxyError): Fields {
  return { code, hop, label, stage, message };
}

/** An error's message, or anything else as a text, fit for the log. */
export function messageOf(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error));
}

function local(code: "denied" | "loop", message: string): ProxyError {
  return new ProxyError(message, { code, side: "local", stage: "request", hop: 0, label: "hopline" });
}
