/**
 * One name server, by whatever transport the configuration names.
 *
 * @module
 */
import { formatEndpoint, ipVersion } from "../core/address.ts";
import type { Context, Endpoint } from "../core/conn.ts";
import type { Dialer, LayeredConn } from "../core/dialer.ts";
import type { Network } from "../core/direct.ts";
import { asProxyError, ProxyError } from "../core/errors.ts";
import { tlsLayer } from "../protocols/tls.ts";
import type { NameServerConfig } from "../config/names.ts";
import { HttpsServer } from "./https.ts";
import { type Answer, answer, answers, isTruncated, question } from "./message.ts";
import { StreamServer } from "./stream.ts";

/** Sends a datagram and waits for the answer that is accepted. */
export type Exchange = (
  server: Endpoint,
  datagram: Uint8Array,
  accepts: (answer: Uint8Array) => boolean,
  ctx: Context,
) => Promise<Uint8Array>;

/** What a name server is asked with. */
export interface Wires {
  readonly dialer: Dialer;
  readonly network: Network;
  readonly exchange: Exchange;
}

/** Asks a name server for the addresses of a name. */
export class NameServer {
  readonly label: string;
  readonly #send: (message: Uint8Array, ctx: Context) => Promise<Uint8Array>;

  constructor(readonly config: NameServerConfig, wires: Wires) {
    const { protocol, address, path, tls } = config;
    this.label = `${protocol}://${formatEndpoint(address)}${path ?? ""}`;
    const layer = tls && tlsLayer(protocol === "https" ? { ...tls, alpn: ["h2", "http/1.1"] } : tls);
    const open = async (ctx: Context): Promise<LayeredConn> => {
      const conn = await wires.dialer.dial(address, ctx);
      return layer === undefined ? conn : await layer(conn, address, ctx);
    };
    const stream = protocol === "https"
      ? new HttpsServer(open, formatEndpoint(address).replace(/:443$/, ""), path!)
      : new StreamServer(open);
    this.#send = protocol === "udp"
      ? (message, ctx) => overUdp(address, message, ctx, wires, stream)
      : (message, ctx) => stream.exchange(message, ctx);
  }

  /** @throws ProxyError that names the server */
  async ask(name: string, family: 4 | 6, ctx: Context): Promise<Answer> {
    try {
      return answer(await this.#send(question(name, family), ctx), name, family);
    } catch (error) {
      const { message, code } = asProxyError(error, { code: "resolve", side: "upstream", stage: "resolve" });
      throw new ProxyError(`the name server ${this.label}: ${message}`, {
        code: code === "timeout" ? code : "resolve",
        side: "upstream",
        stage: "resolve",
        cause: error,
      });
    }
  }
}

/** What does not fit into a datagram is asked for again over TCP. */
async function overUdp(
  server: Endpoint,
  message: Uint8Array,
  ctx: Context,
  { network, exchange }: Wires,
  stream: Pick<StreamServer, "exchange">,
): Promise<Uint8Array> {
  const [hostname] = ipVersion(server.hostname) !== 0
    ? [server.hostname]
    : await network.resolve(server.hostname, 4, ctx);
  crypto.getRandomValues(message.subarray(0, 2));
  const accepts = (answer: Uint8Array) => answers(answer, message);
  const found = await exchange({ ...server, hostname }, message, accepts, ctx);
  return isTruncated(found) ? await stream.exchange(message, ctx) : found;
}
