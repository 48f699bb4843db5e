/**
 * TLS around anything, as a hop placed before what it protects and as a handler before what it peels.
 *
 * One implementation serves both runtimes: `node:tls` over a stream of our own, so that TLS goes over a socket, over
 * bytes that a sniffer gave back, and over TLS. Connections that terminate TLS themselves are left to do so. Every hop
 * verifies its own peer with its own settings.
 *
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import tls, { type SecureContext, type TLSSocket } from "node:tls";
import { ipVersion } from "../core/address.ts";
import { concat } from "../core/bytes.ts";
import { BufferedConn, type Conn, type Context, type TlsSettings } from "../core/conn.ts";
import { type Hop, type Layer, type LayeredConn, layerHop } from "../core/dialer.ts";
import { ProxyError, type Side } from "../core/errors.ts";
import { Scope } from "../core/scope.ts";
import type { Handler, Matcher } from "../core/serve.ts";
import { CloseNotifyGate, losesHalfClose } from "./tls_half_close.ts";
import { peerFacts, pinOf } from "./tls_peer.ts";
import { ConnStream, TlsConn } from "./tls_stream.ts";

/** How a hop's TLS is made and its peer verified. */
export interface TlsClientOptions {
  /** The name to send (SNI) and to verify; `""` sends none and verifies the host dialled. Default: that host. */
  readonly serverName?: string;
  /** PEM of the authorities to trust instead of the runtime's own. */
  readonly ca?: string;
  /** PEM of our certificate chain, with {@linkcode key}. */
  readonly certificate?: string;
  /** PEM of our private key. */
  readonly key?: string;
  /** Base64 of SHA-256 of the peer's public key (SubjectPublicKeyInfo); one of them must match. */
  readonly pins?: readonly string[];
  /** Protocols to offer by ALPN. */
  readonly alpn?: readonly string[];
  /** Skips verification of the certificate, for this hop alone; pins are still checked. */
  readonly insecure?: boolean;
}

/** How a listener terminates TLS. */
export interface TlsServerOptions {
  /** PEM of the certificate chain. */
  readonly certificate: string;
  /** PEM of the private key. */
  readonly key: string;
  /** PEM of the authorities that must have issued a client's certificate; without it none is asked for. */
  readonly clientCa?: string;
  /** Protocols that clients may choose by ALPN; one that offers only others is refused. */
  readonly alpn?: readonly string[];
}

/** The hop that speaks TLS to whatever the next hop's server is, within `timeout` milliseconds. */
export function tlsHop(options: TlsClientOptions = {}, timeout = 10_000): Hop {
  return layerHop("tls", tlsLayer(options), timeout);
}

/** TLS over a connection that stands; the certificates are parsed once, when first used. */
export function tlsLayer(options: TlsClientOptions): Layer {
  let secureContext: SecureContext | undefined;
  return async (conn, server, ctx) => {
    try {
      secureContext ??= clientContext(options);
    } catch (error) {
      conn.abort();
      throw error;
    }
    return await secureClient(conn, server.hostname, options, secureContext, ctx);
  };
}

function clientContext({ ca, certificate, key }: TlsClientOptions): SecureContext {
  return usable(certificate, key, () => tls.createSecureContext({ ca, cert: certificate, key }));
}

/** What `make` makes of a certificate and its key; not every runtime looks whether they belong together. */
function usable<T>(certificate: string | undefined, key: string | undefined, make: () => T): T {
  try {
    if (certificate !== undefined && key !== undefined) {
      const matches = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
      if (!matches) throw new Error("the key is not the certificate's");
    }
    return make();
  } catch (error) {
    throw failure("local", `the certificate, key or CA can't be used: ${(error as Error).message}`, error);
  }
}

async function secureClient(
  conn: Conn,
  hostname: string,
  options: TlsClientOptions,
  secureContext: SecureContext,
  ctx: Context,
): Promise<LayeredConn> {
  const carrier = new ConnStream(conn, losesHalfClose ? new CloseNotifyGate("SERVER") : null);
  const name = options.serverName || hostname;
  const sent = options.serverName === "" || ipVersion(name) !== 0 ? "" : name.replace(/\.$/, "");
  const socket = tls.connect({
    socket: carrier,
    secureContext,
    servername: sent,
    ALPNProtocols: options.alpn === undefined ? undefined : [...options.alpn],
    // A traced handshake goes on, to tell whose certificate came, and is refused right behind.
    rejectUnauthorized: options.insecure !== true && ctx.trace === undefined,
    allowHalfOpen: true,
    checkServerIdentity: (_sent: string, certificate: tls.PeerCertificate) =>
      tls.checkServerIdentity(name, certificate),
  } as tls.ConnectionOptions);
  socket.on("keylog", (line: Uint8Array) => carrier.keylog(line));
  const step = ctx.trace?.begin("tls", name);
  try {
    await handshake(socket, carrier, conn, ctx);
    if (options.insecure !== true) checkVerified(socket);
    checkPins(socket, options.pins ?? []);
    step?.done(peerFacts(socket));
  } catch (error) {
    step?.failed(error, peerFacts(socket));
    socket.destroy();
    conn.abort();
    throw error;
  }
  return new TlsConn(socket, carrier, conn, "upstream", socket.alpnProtocol || null);
}

function checkVerified(socket: TLSSocket): void {
  if (!socket.authorized) throw explained(unverified(socket) ?? new Error("not verified"), "upstream");
}

/** What is wrong with the peer's certificate. Deno says of a client's no more than that the socket hung up. */
function unverified(socket?: TLSSocket): Error | undefined {
  const code = socket?.authorizationError;
  return code ? Object.assign(new Error(String(code)), { code: String(code) }) : undefined;
}

function checkPins(socket: TLSSocket, pins: readonly string[]): void {
  if (pins.length === 0) return;
  const found = pinOf(new X509Certificate(socket.getPeerCertificate().raw));
  if (!pins.some((pin) => `sha256/${pin}` === found)) {
    throw failure("upstream", `the server's public key is ${found}, which is not pinned`);
  }
}

/** Waits for a TLS handshake to succeed. On any failure both the socket and the connection below are gone. */
async function handshake(socket: TLSSocket, carrier: ConnStream, conn: Conn, ctx: Context): Promise<void> {
  const side = "upstream";
  const under = new Handshake(carrier, ctx, side);
  socket.once("secureConnect", () => under.resolve(socket));
  socket.on("error", (error: Error) => under.reject(explained(error, side)));
  try {
    await under.done;
  } catch (error) {
    conn.abort();
    socket.destroy();
    throw error;
  }
}

/** A handshake under way over a stream; it also ends with its context, and with the connection. */
class Handshake {
  readonly done: Promise<TLSSocket>;
  resolve!: (socket: TLSSocket) => void;
  reject!: (error: unknown) => void;

  constructor(readonly carrier: ConnStream, ctx: Context, side: Side) {
    const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
    const scope = new Scope(ctx, { abort: (reason) => reject(timedOut(reason, side)) });
    // TLS is given time to make of an end what it can.
    const cut = () => void setTimeout(() => reject(failure(side, cutShort)));
    this.resolve = resolve;
    this.reject = reject;
    this.done = promise.finally(() => {
      scope.leave();
      carrier.off("end", cut).off("close", cut);
    });
    carrier.once("end", cut).once("close", cut);
  }
}

const cutShort = "the connection ended within the TLS handshake";

/** A server of `node:tls`, for one handshake at a time: it does not say whose a finished one was. */
class StreamServer {
  readonly #server: tls.Server;
  #under: Handshake | undefined;

  constructor({ certificate, key, clientCa, alpn }: TlsServerOptions) {
    const options = {
      ALPNProtocols: alpn === undefined ? undefined : [...alpn],
      cert: certificate,
      key,
      ca: clientCa,
      requestCert: clientCa !== undefined,
      rejectUnauthorized: clientCa !== undefined,
      allowHalfOpen: true,
    };
    const server = this.#server = usable(
      certificate,
      key,
      () => tls.createServer(options as tls.TlsOptions),
    );
    server.on("secureConnection", (socket) => this.#under?.resolve(socket));
    server.on("tlsClientError", (error: Error, socket?: TLSSocket) => {
      this.#under?.reject(explained(unverified(socket) ?? error, "client"));
    });
    if (losesHalfClose) server.on("keylog", (line: Uint8Array) => this.#under?.carrier.keylog(line));
  }

  async accept(carrier: ConnStream, ctx: Context): Promise<TLSSocket> {
    this.#under = new Handshake(carrier, ctx, "client");
    this.#server.emit("connection", carrier);
    const socket = await this.#under.done;
    this.#under = undefined;
    return socket;
  }
}

/** Terminates TLS: by the transport's own means where it has any, and otherwise by a pool of servers over streams. */
export class TlsTerminator {
  readonly #idle: StreamServer[];
  #settings: TlsSettings | undefined;

  constructor(readonly options: TlsServerOptions) {
    this.#idle = [new StreamServer(options)];
  }

  #makeSettings(): TlsSettings {
    const { certificate, key, clientCa, alpn } = this.options;
    return {
      secureContext: tls.createSecureContext({ cert: certificate, key, ca: clientCa }),
      alpn: alpn &&
        concat(...alpn.map((name) => Uint8Array.of(name.length, ...new TextEncoder().encode(name)))),
      asksForCertificate: clientCa !== undefined,
    };
  }

  /** Terminates TLS; the connection that comes back is the plaintext. */
  async accept(conn: Conn, ctx: Context): Promise<Conn> {
    const below = BufferedConn.of(conn);
    const peeled = below.inner.terminateTls && below.peel();
    if (peeled === undefined) return await this.#acceptStream(conn, ctx);
    const { inner, early } = peeled;
    try {
      await inner.terminateTls!(this.#settings ??= this.#makeSettings(), early, ctx);
      return inner;
    } catch (error) {
      const { signal } = ctx;
      throw signal.aborted ? timedOut(signal.reason, "client") : explained(error as Error, "client");
    }
  }

  async #acceptStream(conn: Conn, ctx: Context): Promise<Conn> {
    const carrier = new ConnStream(conn, losesHalfClose ? new CloseNotifyGate("CLIENT") : null);
    const server = this.#idle.pop() ?? new StreamServer(this.options);
    try {
      const socket = await server.accept(carrier, ctx);
      this.#idle.push(server);
      return new TlsConn(socket, carrier, conn, "client", socket.alpnProtocol || null);
    } catch (error) {
      // The alert goes out before the connection is closed; the server is not used again.
      await conn.closeWrite().catch(() => {});
      carrier.destroy();
      throw error;
    }
  }
}

/** A listener's TLS layer: terminates it, and lets what is inside be sniffed. */
export function tlsHandler(terminator: TlsTerminator): Handler {
  return {
    async handle(conn, session, next) {
      await next(await terminator.accept(conn, session.handshake));
    },
  };
}

/** A ClientHello's record: handshake (22), version 3.x. */
export const tlsMatcher: Matcher = {
  name: "tls",
  match: (head) => head[0] !== 0x16 ? "no" : head.length < 2 ? "more" : head[1] === 3 ? "yes" : "no",
};

/** The alert `handshake_failure`, for a client that speaks TLS where none is spoken. */
export const tlsRefusal = Uint8Array.of(0x15, 3, 1, 0, 2, 2, 40);

function timedOut(reason: unknown, side: Side): unknown {
  if (!(reason instanceof ProxyError) || reason.code !== "timeout") return reason;
  return new ProxyError(`${reason.message} in the TLS handshake`, { code: "timeout", side, stage: "tls" });
}

/** What OpenSSL's, BoringSSL's and rustls's errors mean to a person. */
function explained(error: Error & { code?: string }, side: Side): ProxyError {
  if (error instanceof ProxyError) return error;
  const { code = "", message } = error;
  const advice = ADVICE.find(([pattern]) => pattern.test(code) || pattern.test(message))?.[1];
  const [detail] = message.split("\n");
  return failure(side, advice === undefined ? detail : `${advice} (${code || detail})`, error);
}

const ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|UNKNOWN_?(CA|ISSUER)|CERT_UNTRUSTED/i,
    "the certificate's issuer is not trusted; name its CA with ca=FILE",
  ],
  [/ALTNAME_INVALID/i, "the certificate is for another name; name the right one with sni=NAME"],
  [/CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/i, "the certificate is not valid today"],
  [/WRONG_VERSION|HTTP_REQUEST|InvalidContentType|corrupt message/i, "the peer does not speak TLS"],
  [/DID_NOT_RETURN_A_CERT|CERTIFICATE_REQUIRED|no certificates/i, "a client certificate is required"],
  [/ECONNRESET|hang up/i, "the connection ended within the TLS handshake"],
];

function failure(side: Side, message: string, cause?: unknown): ProxyError {
  return new ProxyError(message, { code: "tls", side, stage: "tls", cause });
}
