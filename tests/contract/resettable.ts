/**
 * Sockets that can be reset on either runtime.
 *
 * @module
 */
import { connect, type Socket } from "node:net";
import type { Conn } from "../../src/core/conn.ts";
import { runtime } from "./transports.ts";

/** A socket of `node:net`, which can send a reset on either runtime, and the other end of it. */
export async function resettable(): Promise<{ raw: Socket; conn: Conn }> {
  const listener = await runtime.listen({ hostname: "127.0.0.1", port: 0 });
  const raw = connect({ host: "127.0.0.1", port: listener.addr.port, allowHalfOpen: true });
  raw.on("error", () => {});
  const { value: conn } = await listener[Symbol.asyncIterator]().next();
  listener.close();
  return { raw, conn };
}
