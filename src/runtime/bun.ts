/**
 * Bun's sockets.
 *
 * @module
 */
import type { TCPSocketListener } from "bun";
import type { Conn, Context, Endpoint, Listener } from "../core/conn.ts";
import { ipVersion } from "../core/address.ts";
import { background } from "../core/handshake.ts";
import { BunConn, handler } from "./bun_conn.ts";
import { connectFailure, listenFailure } from "./failures.ts";
import { join } from "./bun_relay.ts";
import { resolve } from "./resolve.ts";
import type { Runtime } from "./runtime.ts";

async function connect(address: Endpoint, { signal, outgoing }: Context): Promise<Conn> {
  signal.throwIfAborted();
  let cancel = () => {};
  const cancelled = new Promise<never>((_, reject) => {
    cancel = () => reject(signal.reason);
    signal.addEventListener("abort", cancel);
  });
  const opening = Bun.connect<BunConn>({
    hostname: address.hostname,
    port: address.port,
    allowHalfOpen: true,
    socket: {
      ...handler,
      open(socket) {
        socket.data = new BunConn(socket, outgoing);
      },
      // Without it the rejection would also be reported as unhandled.
      connectError() {},
    },
  });
  try {
    return (await Promise.race([opening, cancelled])).data;
  } catch (error) {
    opening.then((socket) => socket.terminate(), () => {});
    throw signal.aborted ? signal.reason : connectFailure(error, address);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

class BunListener implements Listener {
  readonly addr: Endpoint;
  #waiting: ((result: IteratorResult<Conn>) => void) | null = null;
  #accepted: Conn[] = [];
  #closed = false;
  readonly #listener: TCPSocketListener<BunConn>;

  constructor(at: Endpoint) {
    this.#listener = Bun.listen<BunConn>({
      hostname: at.hostname,
      port: at.port,
      allowHalfOpen: true,
      exclusive: true,
      socket: { ...handler, open: (socket) => this.#accept(socket.data = new BunConn(socket)) },
    });
    this.addr = { hostname: at.hostname, port: this.#listener.port };
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

async function addressOf(hostname: string, ctx: Context): Promise<string> {
  const [address] = await resolve(hostname, 4, ctx).catch(() => resolve(hostname, 6, ctx));
  return address;
}

/** Hopline on Bun. */
export const bunRuntime: Runtime = {
  connect,
  resolve,
  join,
  async listen(at, ctx = background) {
    // Bun would report the name, and not the address that it bound.
    const hostname = ipVersion(at.hostname) === 0 ? await addressOf(at.hostname, ctx) : at.hostname;
    try {
      return new BunListener({ hostname, port: at.port });
    } catch (error) {
      throw listenFailure(error);
    }
  },
};
