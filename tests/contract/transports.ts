/**
 * Every way that two ends are connected here: what one contract is checked on.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import type { Conn } from "../../src/core/conn.ts";
import { background } from "../../src/core/handshake.ts";
import { type TlsClientOptions, tlsHop, TlsTerminator } from "../../src/protocols/tls.ts";
import { currentRuntime } from "../../src/runtime/runtime.ts";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { memoryPair } from "../support/memory.ts";
import { type Directory, temporaryDirectory } from "../support/temporary.ts";

/** Two ends of one connection. */
export type Pair = readonly [client: Conn, server: Conn];

/** A kind of connection. */
export interface Transport {
  readonly name: string;
  /**
   * Whether an `abort` reaches the peer's reads as an error. Deno has no way to ask for a reset, and sends a FIN even
   * before the kernel's own one for unread bytes; so there the peer of a plain socket reads an end, and only its next
   * write fails. Inside TLS that is an error again, for want of a close_notify.
   */
  readonly resets: boolean;
  open(): Promise<Pair>;
}

/** The runtime under test. */
export const runtime = await currentRuntime();
export const onDeno = !("Bun" in globalThis);

const loopback = await runtime.listen({ hostname: "127.0.0.1", port: 0 });
const accepted = loopback[Symbol.asyncIterator]();
/** Dials and accepts have to pair up, so they take turns. */
let turn: Promise<unknown> = Promise.resolve();

/** A pair of the runtime's own sockets. */
export function socketPair(): Promise<Pair> {
  const pair = turn.then(async () => {
    const [client, { value }] = await Promise.all([
      runtime.connect(loopback.addr, background),
      accepted.next(),
    ]);
    return [client, value as Conn] as const;
  });
  turn = pair.catch(() => {});
  return pair;
}

/** Certificates of this run, for `localhost`. */
export interface Credentials {
  readonly directory: Directory;
  readonly authority: Authority;
  readonly server: Certificate;
  readonly client: TlsClientOptions;
  readonly terminator: TlsTerminator;
}

let made: Promise<Credentials> | undefined;

/** Makes the certificates when first asked; the directory goes when the process does. */
export function credentials(): Promise<Credentials> {
  return made ??= (async () => {
    const directory = temporaryDirectory();
    process.once("exit", () => directory[Symbol.dispose]());
    const ca = await authority(directory, "ca");
    const server = await ca.issue("localhost", "127.0.0.1");
    return {
      directory,
      authority: ca,
      server,
      client: { ca: pem(ca.file) },
      terminator: new TlsTerminator({ certificate: pem(server.cert), key: pem(server.key) }),
    };
  })();
}

/** A PEM file's text. */
export function pem(file: string): string {
  return readFileSync(file, "utf8");
}

/** TLS between the ends of a pair, `layers` deep. */
export async function secured(pair: Pair, layers = 1): Promise<Pair> {
  if (layers === 0) return pair;
  const { client: options, terminator } = await credentials();
  const [client, server] = pair;
  const dialer = tlsHop(options).wrap({ dial: () => Promise.resolve(client) });
  const inside = await Promise.all([
    dialer.dial({ hostname: "localhost", port: 443 }),
    terminator.accept(server, background),
  ]);
  return await secured(inside, layers - 1);
}

/** What the contract is checked on. */
export const transports: readonly Transport[] = [
  { name: "memory", resets: true, open: () => Promise.resolve(memoryPair()) },
  { name: "TCP", resets: !onDeno, open: socketPair },
  { name: "TLS", resets: true, open: async () => await secured(await socketPair()) },
  { name: "TLS inside TLS", resets: true, open: async () => await secured(await socketPair(), 2) },
  { name: "TLS in memory", resets: true, open: async () => await secured(memoryPair()) },
];
