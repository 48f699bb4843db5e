/**
 * A connection as the core sees it: bytes both ways, each direction ending by itself.
 *
 * @module
 */
import type { Trace } from "./trace.ts";
import type { Trail } from "./trail.ts";

/** A host (name, IPv4 or IPv6 address without brackets) and a TCP port. */
export interface Endpoint {
  /** Without brackets, even when it is an IPv6 address. */
  readonly hostname: string;
  /** 1 to 65535; a listener may ask for 0. */
  readonly port: number;
}

/** What travels along with a dial. */
export interface Context {
  /** When it aborts, the dial rejects with its reason. */
  readonly signal: AbortSignal;
  /** Is told the ends of every connection made for this dial, for as long as it lives. */
  readonly outgoing?: Outgoing;
  /** Whose connection is to be made, for servers that are told. */
  readonly client?: Client;
  /** What that client is kept from; absent where nothing is. */
  readonly guard?: Guard;
  /** Notes the way that is taken, where groups choose it. */
  readonly trail?: Trail;
  /** Is told of the steps of the dial. */
  readonly trace?: Trace;
}

/** A client as it came, whether to us or to a proxy in front that speaks for it. */
export interface Client {
  /** Where it comes from; absent where nobody knows, or where a proxy in front speaks for itself. */
  readonly source?: Endpoint;
  /** Where it connected to. */
  readonly destination?: Endpoint;
  /** The application protocol of its TLS, where there is no doubt. */
  readonly alpn?: string;
  /** The server name that it asked for. */
  readonly serverName?: string;
  /** What the connection is called across proxies, at most 128 bytes. */
  readonly uniqueId?: Uint8Array;
}

/** Says why a client is kept from a target; nothing where it is not. */
export interface Guard {
  /** As it was asked for, whatever the way to it. */
  asked(target: Endpoint): string | undefined;
  /** By an address of it that would be connected to. */
  reached(target: Endpoint, address: string): string | undefined;
}

/** Remembers outgoing connections by their ends: a client that is the other end of one is ourselves, in a loop. */
export interface Outgoing {
  /** A connection stands. */
  add(local: Endpoint, remote: Endpoint): void;
  /** It is no more. */
  delete(local: Endpoint, remote: Endpoint): void;
}

/** A byte stream between two ends. One reader and one writer at a time. */
export interface Conn {
  /** Our end of it, where known. */
  readonly localAddr: Endpoint | null;
  /** The peer's end of it, where known. */
  readonly remoteAddr: Endpoint | null;
  /** Reads at least one byte into `p`; resolves to how many, or to `null` at the end, never to 0. */
  read(p: Uint8Array): Promise<number | null>;
  /** The same, in an array of its own: present where bytes come in one anyway. */
  readChunk?(): Promise<Uint8Array | null>;
  /** Writes all of `p`, or rejects. `p` may be reused once the promise has settled. */
  write(p: Uint8Array): Promise<void>;
  /** Ends our direction (FIN); reading goes on. */
  closeWrite(): Promise<void>;
  /** Ends both directions in good order. Idempotent, never throws. */
  close(): void;
  /** Ends both directions at once, with a reset where the transport has one. Idempotent, never throws. */
  abort(): void;
  /**
   * Terminates the TLS that the peer speaks, where the transport has means of its own for that: what is read and
   * written from then on is what is inside. `early` has been read already. Rejects with an error of the TLS library's,
   * or with the context's reason, and then the connection is closed.
   */
  terminateTls?(settings: TlsSettings, early: Uint8Array, ctx: Context): Promise<void>;
}

/** How TLS is spoken to clients. */
export interface TlsSettings {
  /** The runtime's own, as `node:tls` makes it. */
  readonly secureContext: unknown;
  /** The names of the protocols that clients may choose, each behind its length (RFC 7301 section 3.1). */
  readonly alpn?: Uint8Array;
  /** A client has to show a certificate that the context's authorities have issued. */
  readonly asksForCertificate: boolean;
}

/** Accepts connections until it is closed. */
export interface Listener extends AsyncIterable<Conn> {
  readonly addr: Endpoint;
  close(): void;
}

/** The greeting of any protocol spoken here fits, a ClientHello with a share of a post-quantum key among them. */
const firstBuffer = 2048;
const cheap = 64;
const nothing = new Uint8Array(0);

/**
 * A connection whose first bytes can be looked at, and given back.
 *
 * Handshakes and sniffers read through it; what they do not consume is read by whoever comes next, so nothing that a
 * peer sent early is ever lost. Consumed bytes are never overwritten, so views of them stay valid.
 */
export class BufferedConn implements Conn {
  #buffer: Uint8Array = nothing;
  #start = 0;
  #end = 0;
  #eof = false;
  #filling: Promise<boolean> | null = null;

  constructor(readonly inner: Conn) {}

  /** The same connection, wrapped only if it is not yet. */
  static of(conn: Conn): BufferedConn {
    return conn instanceof BufferedConn ? conn : new BufferedConn(conn);
  }

  get localAddr(): Endpoint | null {
    return this.inner.localAddr;
  }

  get remoteAddr(): Endpoint | null {
    return this.inner.remoteAddr;
  }

  /** How many bytes have arrived and have not been consumed. */
  get available(): number {
    return this.#end - this.#start;
  }

  /** What has arrived and has not been consumed. */
  get buffered(): Uint8Array {
    return this.#view(this.#start, this.available);
  }

  /**
   * Waits for more bytes behind {@linkcode buffered}; `false` when there are no more. `room` is how many it asks for
   * where it needs a new buffer. A wait that nobody is interested in any more is joined by the next reader.
   */
  fill(room = firstBuffer): Promise<boolean> {
    if (this.#eof) return Promise.resolve(false);
    return this.#filling ??= this.#fill(room);
  }

  async #fill(room: number): Promise<boolean> {
    try {
      if (this.inner.readChunk !== undefined) {
        if (this.available === 0) this.#hold(nothing);
        const chunk = await this.inner.readChunk();
        if (chunk === null) this.#eof = true;
        else this.#append(chunk);
      } else {
        if (this.#end === this.#buffer.length) this.#grow(Math.max(room, 2 * this.available));
        const n = await this.inner.read(this.#view(this.#end, this.#buffer.length - this.#end));
        if (n === null) this.#eof = true;
        else this.#end += n;
      }
      return !this.#eof;
    } finally {
      this.#filling = null;
    }
  }

  #append(chunk: Uint8Array): void {
    if (this.available === 0) return this.#hold(chunk);
    const least = this.available + chunk.length;
    if (this.#end + chunk.length > this.#buffer.length) this.#grow(Math.max(least, 2 * this.available));
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  #hold(buffer: Uint8Array): void {
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = buffer.length;
  }

  #grow(size: number): void {
    const grown = new Uint8Array(size);
    grown.set(this.buffered);
    this.#end -= this.#start;
    this.#start = 0;
    this.#buffer = grown;
  }

  /** Takes `n` bytes off the front of {@linkcode buffered}. */
  consume(n: number): Uint8Array {
    const from = this.#start;
    this.#start += n;
    // A view makes the engine allocate the buffer behind the array: a few bytes are copied for less.
    return n < cheap && n < this.#buffer.length ? this.#buffer.slice(from, from + n) : this.#view(from, n);
  }

  /** A part of the buffer; `subarray` costs several times as much. */
  #view(from: number, length: number): Uint8Array {
    const { buffer, byteOffset } = this.#buffer;
    return length === this.#buffer.length ? this.#buffer : new Uint8Array(buffer, byteOffset + from, length);
  }

  /** The connection below, once nothing is buffered: the relay is faster without this layer. */
  unwrap(): Conn {
    if (this.available > 0 || this.#eof || this.#filling !== null) return this;
    this.#hold(nothing);
    return this.inner;
  }

  /** The connection below and what it gave that nobody has consumed; nothing while somebody waits for more of it. */
  peel(): { inner: Conn; early: Uint8Array } | undefined {
    if (this.#eof || this.#filling !== null) return undefined;
    const early = this.buffered;
    this.#hold(nothing);
    return { inner: this.inner, early };
  }

  async read(p: Uint8Array): Promise<number | null> {
    if (this.#start === this.#end && this.#filling !== null) await this.#filling;
    const n = Math.min(p.length, this.#end - this.#start);
    if (n > 0) {
      p.set(this.consume(n));
      return n;
    }
    return this.#eof ? null : await this.inner.read(p);
  }

  write(p: Uint8Array): Promise<void> {
    return this.inner.write(p);
  }

  closeWrite(): Promise<void> {
    return this.inner.closeWrite();
  }

  close(): void {
    this.inner.close();
  }

  abort(): void {
    this.inner.abort();
  }
}
