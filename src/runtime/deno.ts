/**
 * Deno's sockets.
 *
 * @module
 */
import type { Conn, Context, Endpoint, Listener } from "../core/conn.ts";
import { exchange } from "./datagram.ts";
import { DenoConn } from "./deno_conn.ts";
import { spliced } from "./deno_relay.ts";
import { connectFailure, listenFailure } from "./failures.ts";
import { denoFetch } from "./proxied_fetch.ts";
import { resolve } from "./resolve.ts";
import type { Runtime } from "./runtime.ts";

async function connect(address: Endpoint, { signal, outgoing }: Context): Promise<Conn> {
  try {
    signal.throwIfAborted();
    // Racing addresses is the direct dialer's work.
    const options = { ...address, signal, autoSelectFamily: false };
    return new DenoConn(await Deno.connect(options), outgoing);
  } catch (error) {
    throw signal.aborted ? signal.reason : connectFailure(error, address);
  }
}

/** How long to rest when the process can't accept, for want of descriptors most likely. */
const restMs = 200;

class DenoListener implements Listener {
  #closed = false;

  constructor(readonly listener: Deno.TcpListener) {}

  get addr(): Endpoint {
    const { hostname, port } = this.listener.addr;
    return { hostname, port };
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Conn> {
    while (!this.#closed) {
      let socket: Deno.TcpConn;
      try {
        socket = await this.listener.accept();
      } catch (error) {
        if (!this.#closed && !isGone(error)) await new Promise((done) => setTimeout(done, restMs));
        continue;
      }
      const conn = wrap(socket);
      if (conn !== undefined) yield conn;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.listener.close();
  }
}

/** The client had reset its connection before it was accepted: that says nothing about the next one. */
function isGone(error: unknown): boolean {
  const { NotConnected, ConnectionReset, ConnectionAborted } = Deno.errors;
  return [NotConnected, ConnectionReset, ConnectionAborted].some((gone) => error instanceof gone);
}

/** A client that has reset its connection by now leaves a socket that can't be set up. */
function wrap(socket: Deno.TcpConn): DenoConn | undefined {
  try {
    return new DenoConn(socket);
  } catch {
    socket.close();
  }
}

/** Hopline on Deno. */
export const denoRuntime: Runtime = {
  connect,
  resolve,
  exchange,
  proxiedFetch: denoFetch,
  spliced,
  listen({ hostname, port }, { reusePort, background } = {}) {
    try {
      // Deno looks at whether the option is there, and asks for --unstable-net then.
      const options = reusePort ? { hostname, port, reusePort } : { hostname, port };
      const listener = Deno.listen(options);
      if (background) listener.unref();
      return Promise.resolve(new DenoListener(listener));
    } catch (error) {
      return Promise.reject(listenFailure(error));
    }
  },
};
