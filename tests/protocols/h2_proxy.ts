/**
 * HTTP/2 proxies in memory, and hops that lead to them.
 *
 * @module
 */
import { BufferedConn, type Conn, type Endpoint } from "../../src/core/conn.ts";
import type { Dialer, LayeredConn } from "../../src/core/dialer.ts";
import { type H2Hop, h2Hop } from "../../src/protocols/h2_hop.ts";
import { h2Handler } from "../../src/protocols/h2_server.ts";
import { anonymous } from "../../src/protocols/http_challenges.ts";
import { memoryPair } from "../support/memory.ts";
import { fakeSession, fakeWay } from "../support/session.ts";

export const target: Endpoint = { hostname: "target.example", port: 443 };
export const server: Endpoint = { hostname: "proxy.example", port: 443 };

/** As if ALPN had chosen this. */
export function agreed(conn: Conn, protocol: string | undefined): LayeredConn {
  return Object.assign(BufferedConn.of(conn), { protocol });
}

/** A hop to whatever `connect` connects to. */
export function hopTo(connect: Dialer["dial"], options: Partial<H2Hop> = {}): Dialer {
  return h2Hop({
    label: "h2://proxy.example:443",
    server,
    layer: (conn) => Promise.resolve(agreed(conn, "h2")),
    authenticator: anonymous,
    timeout: 20_000,
    ...options,
  }).wrap({ dial: connect });
}

/** One connection that a proxy has got. */
export interface Accepted {
  /** Sends GOAWAY. */
  readonly retire: AbortController;
  /** The other ends of its tunnels, in order. */
  readonly targets: Conn[];
  /** The proxy's end of the connection. */
  readonly conn: Conn;
  /** The proxy is through with it. */
  readonly done: Promise<unknown>;
}

/** A proxy: Hopline's own HTTP/2 listener. */
export class Proxy {
  readonly accepted: Accepted[] = [];

  constructor(
    readonly options: { readonly maxStreams?: number; readonly window?: number } = {},
    readonly serve: (target: Conn) => void = () => {},
    readonly between: (conn: Conn) => Conn = (conn) => conn,
  ) {}

  /** Accepts a connection. */
  readonly connect = (): Promise<Conn> => {
    const [near, conn] = memoryPair();
    const retire = new AbortController();
    const targets: Conn[] = [];
    const session = fakeSession({
      retired: retire.signal,
      open: () => {
        const [upstream, target] = memoryPair();
        targets.push(target);
        this.serve(target);
        return Promise.resolve(fakeWay(upstream));
      },
    });
    const { maxStreams = 256, window = 65_536 } = this.options;
    const next = () => Promise.reject(new Error("nothing is peeled"));
    const done = h2Handler({ maxStreams, idle: 600_000, window }).handle(
      new BufferedConn(conn),
      session,
      next,
    )
      .then(() => undefined, (error) => error);
    this.accepted.push({ retire, targets, conn, done });
    return Promise.resolve(this.between(near));
  };
}

/** Sends back what comes, and the end. */
export function echo(target: Conn): void {
  const p = new Uint8Array(16_384);
  (async () => {
    for (let n = await target.read(p); n !== null; n = await target.read(p)) {
      await target.write(p.subarray(0, n));
    }
    await target.closeWrite();
  })().catch(() => {});
}
