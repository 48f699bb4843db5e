/**
 * A question and its answer, a UDP datagram each, as DNS has them.
 *
 * @module
 */
import { createSocket } from "node:dgram";
import { ipVersion, literalBytes } from "../core/address.ts";
import type { Context, Endpoint } from "../core/conn.ts";
import { Scope } from "../core/scope.ts";
import { connectFailure } from "./failures.ts";

/**
 * Sends a datagram from a port of its own, and waits for the one that `accepts` takes; what else comes, from wherever,
 * is dropped.
 */
export async function exchange(
  server: Endpoint,
  datagram: Uint8Array,
  accepts: (answer: Uint8Array) => boolean,
  ctx: Context,
): Promise<Uint8Array> {
  const socket = createSocket(ipVersion(server.hostname) === 6 ? "udp6" : "udp4");
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const scope = new Scope(ctx, { abort: reject });
  try {
    if (scope.aborted) return await promise;
    socket.on("error", (error) => reject(connectFailure(error, server)));
    socket.on("message", (answer, { address, port }) => {
      if (port === server.port && sameAddress(address, server.hostname) && accepts(answer)) resolve(answer);
    });
    socket.send(datagram, server.port, server.hostname, (error) => {
      if (error) reject(connectFailure(error, server));
    });
    return await promise;
  } finally {
    scope.leave();
    socket.close();
  }
}

function sameAddress(a: string, b: string): boolean {
  return String(literalBytes(a)) === String(literalBytes(b));
}
