/**
 * Between our connections and the streams that `node:tls` wants: a Duplex over a Conn, and a Conn over a Duplex.
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import { Duplex } from "node:stream";
import type { Conn, Endpoint } from "../core/conn.ts";
import type { LayeredConn } from "../core/dialer.ts";
import { ProxyError, type Side } from "../core/errors.ts";
import { Inbox } from "../core/inbox.ts";
import { RecordWatch, truncated } from "../core/tls_records.ts";
import type { CloseNotifyGate } from "./tls_half_close.ts";

/** Records are read into slabs that grow with what comes: a session that says little is not worth a large one. */
const firstSlab = 4 * 1024;
const largestSlab = 64 * 1024;
/** How long a connection that we close may take to send what it still holds. */
const lingerMs = 5000;

/** Carries TLS records over a connection, and watches whether the peer ended them as it should. */
export class ConnStream extends Duplex {
  readonly records = new RecordWatch();
  readonly #conn: Conn;
  readonly #gate: CloseNotifyGate | null;
  #slabSize = firstSlab;
  #slab = new Uint8Array(0);
  #reading = false;
  /** The transport has ended. */
  #ended = false;

  constructor(conn: Conn, gate: CloseNotifyGate | null) {
    super({ allowHalfOpen: true });
    this.#conn = conn;
    this.#gate = gate;
  }

  /** The connection has ended, and the peer did not say so within TLS, as far as can be told. */
  get cut(): boolean {
    return this.#ended && !(this.#gate?.tells ? this.#gate.closed : this.records.closed);
  }

  /** A line of the key log, for the gate. */
  keylog(line: Uint8Array): void {
    if (this.#gate?.keylog(line)) this.#forward(new Uint8Array(0));
  }

  /** Calls back when the gate has kept a close_notify and everything before it has been taken. */
  onKeptEnd(callback: () => void): void {
    const check = () => {
      if (this.#gate?.closed && this.readableLength === 0) callback();
    };
    this.on("data", check);
    this.on("kept", check);
    check();
  }

  override async _read(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      for (let wanted = true; wanted;) {
        if (this.#slab.length < this.#slabSize / 4) this.#slab = new Uint8Array(this.#slabSize);
        const n = await this.#conn.read(this.#slab);
        if (this.#gate?.closed) return;
        if (n === null) {
          this.#ended = true;
          if (this.#gate !== null) this.push(this.#gate.release());
          this.push(null);
          return;
        }
        const chunk = this.#slab.subarray(0, n);
        this.#slab = this.#slab.subarray(n);
        if (this.#slab.length === 0) this.#slabSize = Math.min(4 * this.#slabSize, largestSlab);
        this.records.see(chunk);
        wanted = this.#forward(chunk);
      }
    } catch (error) {
      this.destroy(error as Error);
    } finally {
      this.#reading = false;
    }
  }

  /** Gives records to `node:tls`; whether it wants more. */
  #forward(chunk: Uint8Array): boolean {
    const passing = this.#gate?.pass(chunk) ?? chunk;
    const wanted = passing.length === 0 || this.push(passing);
    if (this.#gate?.closed) this.emit("kept");
    return wanted && !this.#gate?.closed;
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#conn.write(chunk).then(() => done(), done);
  }

  override _writev(parts: { chunk: Uint8Array }[], done: (error?: Error | null) => void): void {
    this._write(concat(...parts.map(({ chunk }) => chunk)), "", done);
  }

  /** A half-close is a close_notify and no FIN: a proxy on the way that loses half-closes would answer it by a close. */
  override _final(done: (error?: Error | null) => void): void {
    done();
  }

  /** TLS lets go of its carrier before what it wrote last, the close_notify, has gone out. */
  override destroy(error?: Error): this {
    if (error || this.destroyed || this.writableLength === 0) return super.destroy(error);
    const timer = setTimeout(() => super.destroy(new Error("the peer takes no more bytes")), lingerMs);
    this.once("close", () => clearTimeout(timer));
    this.end(() => super.destroy());
    return this;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (error === null) this.#conn.close();
    else this.#conn.abort();
    done(error);
  }
}

/** A connection over a TLS stream. */
export class TlsConn implements LayeredConn {
  readonly localAddr: Endpoint | null;
  readonly remoteAddr: Endpoint | null;
  readonly #stream: Duplex;
  readonly #carrier: ConnStream;
  readonly #below: Conn;
  readonly #inbox: Inbox;
  /** What waits for the stream: one that dies calls nobody back. */
  readonly #waiting = new Set<(error: Error) => void>();
  #closed = false;

  constructor(
    stream: Duplex,
    carrier: ConnStream,
    below: Conn,
    peer: Side,
    readonly protocol: string | null,
  ) {
    this.localAddr = below.localAddr;
    this.remoteAddr = below.remoteAddr;
    this.#stream = stream;
    this.#carrier = carrier;
    this.#below = below;
    // The records are held back, not the plaintext: Deno's TLS stream hangs when it is paused as its end comes, and on
    // Bun plaintext that it still held would come behind the end that the gate tells.
    const inbox = this.#inbox = new Inbox(carrier);
    stream.on("data", (chunk: Uint8Array) => inbox.deliver(chunk, false));
    stream.on("end", () => {
      // An end that the peer did not announce may be an attacker's: what came so far is then not the whole.
      if (carrier.cut) inbox.fail(truncated(peer));
      else inbox.end();
    });
    carrier.on("error", (error) => stream.destroy(error));
    carrier.onKeptEnd(() => stream.push(null));
    stream.on("error", (error) => inbox.fail(peer === "upstream" ? unwelcome(error) : error));
    stream.on("close", () => {
      // Errors are dear, and mostly nobody is there to be told.
      if (!inbox.ended) inbox.fail(closed());
      for (const died of this.#waiting) died(closed());
    });
  }

  read(p: Uint8Array): Promise<number | null> {
    return this.#inbox.read(p);
  }

  async write(p: Uint8Array): Promise<void> {
    if (p.length === 0) return; // Deno's TLS fails on it
    await this.#settled((done) => this.#stream.write(p, done));
    // Bun's TLS takes everything at once, and leaves the waiting to us.
    if (this.#carrier.writableNeedDrain) await this.#settled((done) => this.#carrier.once("drain", done));
  }

  closeWrite(): Promise<void> {
    if (this.#stream.writableEnded) return Promise.resolve();
    return this.#settled((done) => this.#stream.end(() => done()));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const timer = setTimeout(() => this.abort(), lingerMs);
    // The close_notify goes out before the connection below is closed.
    this.closeWrite().catch(() => {}).finally(() => {
      clearTimeout(timer);
      this.#stream.destroy();
      this.#carrier.destroy();
    });
  }

  abort(): void {
    this.#closed = true;
    this.#inbox.fail(closed());
    this.#below.abort();
    this.#stream.destroy();
  }

  /** Runs a stream call to its callback. */
  #settled(call: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error | null) => {
        this.#waiting.delete(finish);
        if (error) reject(error);
        else resolve();
      };
      if (this.#stream.destroyed) return finish(closed());
      this.#waiting.add(finish);
      call(finish);
    });
  }
}

function closed(): Error {
  return new Error("the TLS connection is closed");
}

/** In TLS 1.3 a server says only behind the handshake what it makes of our certificate. */
function unwelcome(error: Error): Error {
  if (!/alert.*(?:certificate|unknown_?ca)/i.test(error.message)) return error;
  const what = /required/i.test(error.message)
    ? "a client certificate is required"
    : "our certificate is refused";
  const [detail] = error.message.split("\n");
  return new ProxyError(`${what} (${detail})`, { code: "tls", side: "upstream", stage: "tls", cause: error });
}
