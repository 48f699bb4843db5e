/**
 * A raw connection as tests use it: bytes out, an exact number of bytes in, and how it ended. Made of the platform's
 * own `node:net` and `node:tls`, so that nothing of Hopline judges itself.
 *
 * @module
 */
import { connect, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import type { Endpoint } from "../../src/core/conn.ts";
import { concat, fromUtf8 } from "../support/bytes.ts";
import { listen, type Origin } from "../support/origins.ts";
import { eventually } from "../support/process.ts";

/** How a connection ended: in good order (FIN), or by a reset. */
export type Ending = "fin" | "reset";

/** One end of a connection. */
export class Wire implements Disposable {
  #received: Uint8Array = new Uint8Array(0);
  #ending: Ending | undefined;
  /** The code of the error it ended with, if there was one. */
  error: string | undefined;

  constructor(readonly socket: Duplex & Pick<Socket, "remotePort" | "localPort">) {
    socket.on("data", (chunk: Uint8Array) => this.#received = concat(this.#received, chunk));
    socket.on("end", () => this.#ending ??= "fin");
    socket.on("error", (error: Error & { code?: string }) => {
      this.error ??= error.code ?? error.message;
      this.#ending ??= "reset";
    });
    // After our own FIN, the peer's may be told as no more than this.
    socket.on("close", () => this.#ending ??= "fin");
  }

  /** Connects to an endpoint, from an address of this machine's. */
  static async to({ hostname, port }: Endpoint, localAddress?: string): Promise<Wire> {
    const socket = connect({ host: hostname, port, localAddress, allowHalfOpen: true, noDelay: true });
    await opened(socket, "connect");
    return new Wire(socket);
  }

  /** Connects and makes a TLS connection of it; rejects when there is no handshake. */
  static async tls({ hostname, port }: Endpoint, options: ConnectionOptions): Promise<Wire> {
    const socket = connectTls({ host: hostname, port, ...options });
    await opened(socket, "secureConnect");
    return new Wire(socket);
  }

  /** All in one write: over loopback it arrives as one segment. */
  send(...parts: readonly (Uint8Array | string)[]): void {
    this.socket.write(concat(...parts));
  }

  /** Sends a FIN. */
  end(): void {
    this.socket.end();
  }

  /** Waits for exactly `n` bytes. */
  async read(n: number): Promise<Uint8Array> {
    await this.#until(() => this.#received.length >= n, `${n} bytes`);
    const bytes = this.#received.slice(0, n);
    this.#received = this.#received.slice(n);
    return bytes;
  }

  /** Waits for a text that ends so, and takes everything up to there. */
  async readThrough(mark: string): Promise<string> {
    const end = () => fromUtf8(this.#received).indexOf(mark);
    await this.#until(() => end() >= 0, JSON.stringify(mark));
    return fromUtf8(await this.read(end() + mark.length));
  }

  /** Waits for the end. */
  async ending(): Promise<Ending> {
    return await eventually(() => `the end, after ${fromUtf8(this.#received)}`, () => this.#ending);
  }

  /** Everything up to the end, which has to be a FIN. */
  async rest(): Promise<Uint8Array> {
    const ending = await this.ending();
    if (ending !== "fin") throw new Error(`a reset (${this.error}) after ${this.#received.length} bytes`);
    return this.#received;
  }

  /** What has arrived and was not read yet. */
  get received(): Uint8Array {
    return this.#received;
  }

  /** It has not ended. */
  get alive(): boolean {
    return this.#ending === undefined;
  }

  async #until(met: () => boolean, what: string): Promise<void> {
    await eventually(
      () => `${what}; there came ${fromUtf8(this.#received)}`,
      () => {
        if (met()) return true;
        if (this.#ending === undefined) return undefined;
        const got = fromUtf8(this.#received);
        throw new Error(`waited for ${what}; the connection ended (${this.#ending}) after "${got}"`);
      },
    );
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

function opened(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.once("error", reject);
    socket.once("close", () => reject(new Error(`closed before ${event}`)));
  });
}

/** A server whose behaviour is a script: a hop that lies, a target that stays silent. */
export interface Scripted extends Origin {
  /** Every connection that came, in order. */
  readonly accepted: readonly Wire[];
}

/** Serves each connection with `script`; what the script throws is the connection's end. */
export async function scripted(
  script: (wire: Wire) => Promise<void> | void = () => {},
  hostname = "127.0.0.1",
): Promise<Scripted> {
  const accepted: Wire[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const wire = new Wire(socket);
    accepted.push(wire);
    Promise.resolve(script(wire)).catch(() => socket.destroy());
  });
  return { ...await listen(server, hostname), accepted };
}
