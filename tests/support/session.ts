/**
 * Sessions without a server, for handlers that are tested alone.
 *
 * @module
 */
import { BufferedConn, type Conn } from "../../src/core/conn.ts";
import { background } from "../../src/core/handshake.ts";
import { relay } from "../../src/core/relay.ts";
import type { Session, Way } from "../../src/core/serve.ts";

const patient = { handshake: 600_000, idle: 600_000, halfClosed: 600_000 };

/** A session whose `open` leads where a test says; a handler that wants one tunnel for itself is refused. */
export function fakeSession(parts: Pick<Session, "open"> & Partial<Session>): Session {
  return {
    handshake: background,
    gate: null,
    client: {},
    maxBytes: 65_536,
    timeouts: patient,
    retired: background.signal,
    stopping: background.signal,
    forwarded: false,
    reverse: false,
    refused: () => {},
    tunnel: () => Promise.reject(new Error("a stream has no handshake of its own")),
    ...parts,
  };
}

/** What leads to every target. */
export const onlyWay = {};

/** An open way that leads to a connection. */
export function fakeWay(upstream: Conn, moved?: Way["relay"]): Way {
  const conn = BufferedConn.of(upstream);
  const move: Way["relay"] = moved ?? (async (client) => void await relay(client, conn, patient));
  return {
    line: { conn, way: onlyWay },
    conn,
    renew: () => Promise.reject(new Error("nothing is reused")),
    close: () => {},
    relay: move,
    become: move,
  };
}
