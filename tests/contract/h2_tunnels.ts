/**
 * Tunnels through an HTTP/2 hop: both ends of a stream, as its client and as its proxy hold it.
 *
 * @module
 */
import { BufferedConn, type Conn } from "../../src/core/conn.ts";
import type { LayeredConn } from "../../src/core/dialer.ts";
import { h2Hop } from "../../src/protocols/h2_hop.ts";
import { h2Handler } from "../../src/protocols/h2_server.ts";
import { anonymous } from "../../src/protocols/http_challenges.ts";
import { FakeConn } from "../support/fake_conn.ts";
import { fakeSession, fakeWay } from "../support/session.ts";

type Pair = readonly [client: Conn, server: Conn];

/** Opens streams over connections that `connect` makes; as many as there are share one. */
export function h2Tunnels(connect: () => Promise<Pair>): () => Promise<Pair> {
  const arrived = new Map<string, (server: Conn) => void>();
  const session = fakeSession({
    // Nobody relays: the test has the stream itself.
    open: (_protocol, { target }) =>
      Promise.resolve(fakeWay(new FakeConn(), (server) => {
        arrived.get(target.hostname)!(server);
        return Promise.resolve();
      })),
  });
  const dialer = h2Hop({
    label: "h2",
    server: { hostname: "proxy.example", port: 443 },
    layer: (conn) => Promise.resolve(Object.assign(conn, { protocol: "h2" }) as LayeredConn),
    authenticator: anonymous,
    timeout: 10_000,
  }).wrap({
    async dial() {
      const [client, server] = await connect();
      const next = () => Promise.reject(new Error("nothing is peeled"));
      h2Handler().handle(new BufferedConn(server), session, next).catch(() => {});
      return client;
    },
  });
  let opened = 0;
  return async () => {
    const hostname = `tunnel-${++opened}.example`;
    const server = new Promise<Conn>((resolve) => arrived.set(hostname, resolve));
    return [await dialer.dial({ hostname, port: 1 }), await server];
  };
}
