/**
 * A connection over a socket of Deno's.
 *
 * @module
 */
import type { Conn, Endpoint, Outgoing } from "../core/conn.ts";
import { endpoint } from "./outgoing.ts";

export class DenoConn implements Conn {
  /** How many are open. */
  static open = 0;
  /** Its descriptor, once it was looked for. */
  fd?: number;
  /** Ends what the kernel relay reads from it. */
  release?: () => void;
  #closed = false;

  readonly localAddr: Endpoint;
  readonly remoteAddr: Endpoint;

  constructor(readonly socket: Deno.TcpConn, readonly outgoing?: Outgoing) {
    const { localAddr, remoteAddr } = socket;
    this.localAddr = endpoint(localAddr.hostname, localAddr.port);
    this.remoteAddr = endpoint(remoteAddr.hostname, remoteAddr.port);
    outgoing?.add(this.localAddr, this.remoteAddr);
    socket.setNoDelay(true);
    DenoConn.open++;
  }

  read(p: Uint8Array): Promise<number | null> {
    return this.socket.read(p);
  }

  async write(p: Uint8Array): Promise<void> {
    for (let at = await this.socket.write(p); at < p.length;) {
      at += await this.socket.write(p.subarray(at));
    }
  }

  closeWrite(): Promise<void> {
    return this.socket.closeWrite();
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    DenoConn.open--;
    this.release?.();
    this.outgoing?.delete(this.localAddr, this.remoteAddr);
    this.socket.close();
  }

  /** Deno has no way to ask for a reset: the peer reads an end, and only its next write fails. */
  abort(): void {
    this.close();
  }
}
