/**
 * Bun's sockets.
 *
 * @module
 */
import type { Socket, SocketHandler, TCPSocketListener } from "bun";
import type { Conn, Context, Endpoint, Listener } from "../core/conn.ts";
import { ipVersion } from "../core/address.ts";
import { background } from "../core/handshake.ts";
import { Scope } from "../core/scope.ts";
import { BunConn, handler } from "./bun_conn.ts";
import { exchange } from "./datagram.ts";
import { isScarce } from "./descriptors.ts";
import { connectFailure, listenFailure } from "./failures.ts";
import { join, spliced } from "./bun_relay.ts";
import { endpoint } from "./outgoing.ts";
import { bunFetch } from "./proxied_fetch.ts";
import { resolve } from "./resolve.ts";
import type { ListenOptions, Runtime } from "./runtime.ts";

/** A connection that is being made. */
class Attempt {
  readonly #scope: Scope;

  constructor(
    readonly address: Endpoint,
    ctx: Context,
    readonly resolve: (conn: Conn) => void,
    readonly reject: (error: unknown) => void,
  ) {
    this.#scope = new Scope(ctx, { abort: reject });
    if (this.#scope.aborted) return;
    const { hostname, port } = address;
    Bun.connect<Attempt | BunConn>({ hostname, port, allowHalfOpen: true, data: this, socket: connecting })
      .catch((error) => this.failed(error));
  }

  opened(socket: Socket<BunConn>): void {
    if (this.#scope.aborted) return drop(socket);
    this.#scope.leave();
    if (giveBack(socket)) return this.reject(connectFailure({ code: "EMFILE" }, this.address));
    const local = endpoint(socket.localAddress, socket.localPort);
    this.resolve(socket.data = new BunConn(socket, local, this.address, this.#scope.outgoing));
  }

  async failed(error: unknown): Promise<void> {
    const code = await routeError(this.address);
    this.#scope.leave();
    this.reject(
      connectFailure(code === undefined ? error : Object.assign(error as Error, { code }), this.address),
    );
  }
}

/**
 * Bun says "connection refused" of every connect that fails. That there is no way at all shows when a datagram socket is
 * connected, which sends nothing: the system only looks for the route.
 */
async function routeError({ hostname, port }: Endpoint): Promise<string | undefined> {
  try {
    const any = ipVersion(hostname) === 6 ? "::" : "0.0.0.0";
    (await Bun.udpSocket({ hostname: any, connect: { hostname, port } })).close();
  } catch (error) {
    const { code } = error as { code?: string };
    return ["ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EADDRNOTAVAIL", "EMFILE", "ENFILE"].find((known) =>
      known === code
    );
  }
}

/** Closes a socket again for which there is no room. */
function giveBack(socket: Socket<BunConn>): boolean {
  const { fd } = socket as unknown as { readonly fd: number };
  if (!isScarce(fd)) return false;
  drop(socket);
  return true;
}

/** Closes a socket that nobody wants. What becomes of it is for nobody either: the callbacks are for connections. */
function drop(socket: Socket<BunConn>): void {
  socket.data = undefined!;
  socket.terminate();
}

/** The callbacks of all sockets that are connected. */
const connecting = {
  ...handler,
  open: (socket: Socket<BunConn | Attempt>) => (socket.data as Attempt).opened(socket as Socket<BunConn>),
  // Without it the rejection would also be reported as unhandled.
  connectError() {},
} as SocketHandler<BunConn | Attempt>;

function connect(address: Endpoint, ctx: Context): Promise<Conn> {
  return new Promise((resolve, reject) => void new Attempt(address, ctx, resolve, reject));
}

class BunListener implements Listener {
  readonly addr: Endpoint;
  #waiting: ((result: IteratorResult<Conn>) => void) | null = null;
  #accepted: Conn[] = [];
  #closed = false;
  /** It listens on any address, and only a socket knows which one it was. */
  readonly #wildcard: boolean;
  readonly #listener: TCPSocketListener<BunConn>;

  constructor(at: Endpoint, { reusePort = false, background }: ListenOptions) {
    const options = {
      hostname: at.hostname,
      port: at.port,
      allowHalfOpen: true,
      exclusive: !reusePort,
      reusePort,
      socket: {
        ...handler,
        open: (socket: Socket<BunConn>) => {
          if (background) socket.unref();
          if (!giveBack(socket)) this.#accept(socket.data = this.#wrap(socket));
        },
      },
    };
    this.#listener = Bun.listen<BunConn>(options);
    if (background) this.#listener.unref();
    this.addr = { hostname: at.hostname, port: this.#listener.port };
    this.#wildcard = ["0.0.0.0", "::"].includes(at.hostname);
  }

  #wrap(socket: Socket<BunConn>): BunConn {
    const local = this.#wildcard ? endpoint(socket.localAddress, socket.localPort) : this.addr;
    return new BunConn(socket, local, endpoint(socket.remoteAddress, socket.remotePort));
  }

  #accept(conn: Conn): void {
    if (this.#closed) return conn.abort();
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) this.#accepted.push(conn);
    else waiting({ done: false, value: conn });
  }

  [Symbol.asyncIterator](): AsyncIterator<Conn> {
    return {
      next: () => {
        const value = this.#accepted.shift();
        if (value !== undefined) return Promise.resolve({ done: false, value });
        if (this.#closed) return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve) => this.#waiting = resolve);
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#listener.stop();
    this.#waiting?.({ done: true, value: undefined });
  }
}

async function addressOf(hostname: string): Promise<string> {
  const [address] = await resolve(hostname, 4, background).catch(() => resolve(hostname, 6, background));
  return address;
}

/** Hopline on Bun. */
export const bunRuntime: Runtime = {
  connect,
  resolve,
  exchange,
  proxiedFetch: bunFetch,
  join,
  spliced,
  async listen(at, options = {}) {
    // Bun would report the name, and not the address that it bound.
    const hostname = ipVersion(at.hostname) === 0 ? await addressOf(at.hostname) : at.hostname;
    try {
      return new BunListener({ hostname, port: at.port }, options);
    } catch (error) {
      throw listenFailure(error);
    }
  },
};
