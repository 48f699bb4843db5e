/**
 * A client's HTTP/2 connection to a listener, in memory: frames on one side, what the listener was asked for on the
 * other.
 *
 * @module
 */
import { BufferedConn, type Conn } from "../../src/core/conn.ts";
import type { ProxyError } from "../../src/core/errors.ts";
import { deadline } from "../../src/core/handshake.ts";
import type { Destination, Gate } from "../../src/core/serve.ts";
import { h2Handler, type H2ServerOptions } from "../../src/protocols/h2_server.ts";
import { RawPeer } from "../support/h2_peer.ts";
import { type MemoryOptions, memoryPair } from "../support/memory.ts";
import { fakeSession, fakeWay, onlyWay } from "../support/session.ts";

/** How a listener is to behave. */
export interface ListenerOptions extends Partial<H2ServerOptions> {
  readonly gate?: Gate;
  readonly memory?: MemoryOptions;
  /** Milliseconds until the handshake's deadline. */
  readonly handshake?: number;
  /** Opens a tunnel to a target; by default to one in memory, which {@linkcode Client.targets} gets. */
  dial?(destination: Destination): Promise<Conn>;
}

/** A client, and what its listener did. */
export interface Client {
  readonly peer: RawPeer;
  readonly asked: Destination[];
  /** The other ends of the tunnels, in order. */
  readonly targets: Conn[];
  readonly refused: ProxyError[];
  readonly retire: AbortController;
  /** What became of the handler. */
  readonly handled: Promise<unknown>;
}

/** Connects; the preface is the test's business. */
export function h2Client(options: ListenerOptions = {}): Client {
  const { gate = null, memory, handshake = 600_000, dial } = options;
  const { maxStreams = 256, idle = 600_000, window = 65_536 } = options;
  const [near, far] = memoryPair(memory);
  const retire = new AbortController();
  const asked: Destination[] = [];
  const targets: Conn[] = [];
  const refused: ProxyError[] = [];
  const { ctx, done } = deadline(undefined, handshake);
  const inMemory = () => {
    const [conn, target] = memoryPair();
    targets.push(target);
    return Promise.resolve(conn);
  };
  const session = fakeSession({
    handshake: ctx,
    gate,
    retired: retire.signal,
    refused: (error) => void refused.push(error),
    async open(_protocol, destination, wanted) {
      done();
      wanted?.throwIfAborted();
      asked.push(destination);
      const left = destination.request?.reuse?.(onlyWay);
      return fakeWay(left?.conn ?? await (dial ?? inMemory)(destination));
    },
  });
  const next = () => Promise.reject(new Error("nothing is peeled"));
  const handled = h2Handler({ maxStreams, idle, window }).handle(new BufferedConn(far), session, next)
    .then(() => undefined, (error) => error).finally(done);
  return { peer: new RawPeer(near), asked, targets, refused, retire, handled };
}

/** A client that has sent its preface, and one CONNECT, on stream 1, that was accepted. */
export async function h2Tunnel(options?: ListenerOptions): Promise<Client> {
  const client = h2Client(options);
  const { connectTo, HEADERS } = await import("../support/h2_peer.ts");
  await client.peer.greet();
  await client.peer.send(connectTo(1, "a.example:443"));
  await client.peer.until(HEADERS, 1);
  return client;
}
