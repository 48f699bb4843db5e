/**
 * TLS by Bun's own sockets: an accepted socket is wrapped where it stands, and what comes of it is a socket with
 * callbacks as well, which is read, written and relayed like any other.
 *
 * @module
 */
import type { Socket, TLSUpgradeOptions } from "bun";
import { concat } from "../core/bytes.ts";
import type { Context, TlsSettings } from "../core/conn.ts";
import { Scope } from "../core/scope.ts";
import { RecordWatch } from "../core/tls_records.ts";
import type { BunConn, Events } from "./bun_conn.ts";

/** `Conn.terminateTls` of a socket. */
export function terminateTls(
  this: BunConn,
  settings: TlsSettings,
  early: Uint8Array,
  ctx: Context,
): Promise<void> {
  return new Promise((resolve, reject) => {
    new Accepting(this, settings.asksForCertificate, ctx, resolve, reject).start(settings, early);
  });
}

/** A handshake under way; until it is over, it has the events of the socket. */
class Accepting implements Events {
  readonly #scope: Scope;
  readonly #records = new RecordWatch();

  constructor(
    readonly conn: BunConn,
    readonly asksForCertificate: boolean,
    ctx: Context,
    readonly resolve: () => void,
    readonly reject: (error: unknown) => void,
  ) {
    this.#scope = new Scope(ctx, this);
  }

  start({ secureContext, alpn, asksForCertificate }: TlsSettings, early: Uint8Array): void {
    const { conn } = this;
    const parts = [early];
    while (conn.stored > 0) parts.push(conn.takeStored());
    const { ended, error } = conn.hand(this);
    if (this.#scope.aborted) return;
    if (conn.gone || ended || error !== undefined) {
      this.fail(error ?? conn.error);
      return conn.close();
    }
    const initialData = concat(...parts);
    this.#records.see(initialData);
    const options = {
      isServer: true,
      initialData,
      data: conn,
      tls: {
        // What is behind the object that `node:tls` makes; made anew for every connection it would cost more than the rest.
        secureContext: (secureContext as { context: unknown }).context,
        ALPNProtocols: alpn,
        requestCert: asksForCertificate,
        rejectUnauthorized: asksForCertificate,
      },
      socket: handler,
    };
    // Bun's types know of clients only.
    const [raw, secured] = conn.socket.upgradeTLS(options as unknown as TLSUpgradeOptions<BunConn>);
    raw.data = new Ciphertext(this.#records) as unknown as BunConn;
    conn.wrap(secured, this.#records);
  }

  /** The handshake is over. */
  done(success: boolean, error: Error | null): void {
    // Without a certificate that was asked for there is always an error.
    if (!success || this.asksForCertificate && error !== null) {
      // That is how the peer's end is told here; a reset is told as such.
      const ended = (error as { code?: string } | null)?.code === "ECONNRESET";
      return this.fail(ended ? new Error("the connection ended within the TLS handshake") : named(error));
    }
    this.#scope.leave();
    this.#records.begin(this.conn.socket.getTLSVersion());
    this.conn.open();
    this.resolve();
  }

  /** It has taken too long, or nobody wants it any more. */
  abort(reason: unknown): void {
    this.reject(reason);
    this.conn.close();
  }

  fail(error: unknown): void {
    this.#scope.leave();
    this.reject(error);
  }

  data(): void {}
  drain(): void {}
  end(): void {}
}

/** An error with the code that `node:tls` gives it: the socket calls all that the library says EPROTO. */
function named(error: Error & { code?: string } | null): unknown {
  const [, reason] = /^error:[^:]*:SSL routines:[^:]*:(\w+)/.exec(error?.message ?? "") ?? [];
  return reason === undefined ? error : Object.assign(error!, { code: `ERR_SSL_${reason}` });
}

/** The callbacks of all sockets with TLS around them. */
const handler = {
  binaryType: "uint8array" as const,
  open() {},
  handshake: ({ data: { events } }: Socket<BunConn>, success: boolean, error: Error | null) =>
    (events as Accepting).done(success, error),
  data: ({ data: conn }: Socket<BunConn>, chunk: Uint8Array) => {
    conn.records!.opened(chunk.length);
    conn.events.data(chunk);
  },
  drain: ({ data: conn }: Socket<BunConn>) => conn.events.drain(),
  end: ({ data: conn }: Socket<BunConn>) => conn.ended(),
  close: ({ data: conn }: Socket<BunConn>, error?: unknown) => conn.closed(error),
  error: ({ data: conn }: Socket<BunConn>, error: Error) => conn.events.fail(named(error)),
};

/** Has the events of the socket below, which tells what it receives, and nothing else that the one above does not. */
class Ciphertext {
  readonly events = this;

  constructor(readonly records: RecordWatch) {}

  data(chunk: Uint8Array): void {
    this.records.see(chunk);
  }

  drain(): void {}
  fail(): void {}
  ended(): void {}
  closed(): void {}
}
