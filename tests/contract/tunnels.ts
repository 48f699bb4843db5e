/**
 * Tunnels for the relay's tests: a client and a server that reach each other through a relay of their own.
 *
 * @module
 */
import { assert } from "@std/assert";
import type { Conn } from "../../src/core/conn.ts";
import { type Join, relay, type RelayLimits, type RelayResult } from "../../src/core/relay.ts";
import { newKernelRelay } from "../../src/runtime/splice/available.ts";
import { memoryPair } from "../support/memory.ts";
import { bytes, rest } from "../support/traffic.ts";
import { type Pair, runtime, secured, socketPair } from "./transports.ts";

/** A tunnel that runs. */
export interface Tunnel {
  readonly client: Conn;
  readonly server: Conn;
  /** What the relay reports when it is over. */
  readonly result: Promise<RelayResult>;
}

/** How a relay's two connections are carried. */
export interface Way {
  readonly name: string;
  readonly join?: Join;
  client(): Promise<Pair>;
  upstream(): Promise<Pair>;
}

/** A kernel relay that takes every direction as soon as a byte has passed. */
export const kernel = newKernelRelay(1)!;
assert(await kernel.started(), "there is a kernel relay");

/** The join that leaves it all it can. */
export const splicedJoin = runtime.spliced(kernel);

const tls = async () => await secured(await socketPair());
const memory = () => Promise.resolve(memoryPair());

/** Deno has no join of its own: there the first way is the second one again. */
export const ways: readonly Way[] = [
  { name: "sockets, joined by the runtime", join: runtime.join, client: socketPair, upstream: socketPair },
  { name: "sockets, carried by the kernel", join: splicedJoin, client: socketPair, upstream: socketPair },
  { name: "sockets, copied", client: socketPair, upstream: socketPair },
  { name: "TLS to the client", join: runtime.join, client: tls, upstream: socketPair },
  { name: "TLS to the client, beside the kernel", join: splicedJoin, client: tls, upstream: socketPair },
  { name: "TLS to the target", join: runtime.join, client: socketPair, upstream: tls },
  { name: "memory", client: memory, upstream: memory },
];

/** No limit that a test could meet. */
export const patient: RelayLimits = { idle: 600_000, halfClosed: 600_000 };

/** Starts a relay. `early` may do something with its two connections before they are joined. */
export async function tunnel(
  { join, ...way }: Way,
  { limits = patient, signal, early }: {
    limits?: RelayLimits;
    signal?: AbortSignal;
    early?: (ends: Tunnel, clientSide: Conn, upstreamSide: Conn) => Promise<[Conn, Conn]>;
  } = {},
): Promise<Tunnel> {
  const [client, clientSide] = await way.client();
  const [upstreamSide, server] = await way.upstream();
  const { promise: result, resolve } = Promise.withResolvers<RelayResult>();
  const ends = { client, server, result };
  const [a, b] = await early?.(ends, clientSide, upstreamSide) ?? [clientSide, upstreamSide];
  relay(a, b, limits, { join, within: signal && { signal } }).then(resolve);
  return ends;
}

/** How many bytes a client gets rid of while the server reads nothing; then the tunnel is ended. */
export async function pushed(ends: Tunnel): Promise<number> {
  const piece = bytes(64 * 1024);
  let written = 0;
  let pushing = true;
  const pusher = (async () => {
    while (pushing && written < 256 << 20) {
      await ends.client.write(piece);
      written += piece.length;
    }
  })().catch(() => {});
  for (let before = -1; written > before;) {
    before = written;
    await rest(300);
  }
  pushing = false;
  await finish(ends);
  await pusher;
  return written;
}

/** Ends both of a tunnel's ends and waits for the relay. */
export async function finish({ client, server, result }: Tunnel): Promise<RelayResult> {
  client.close();
  server.close();
  return await result;
}
