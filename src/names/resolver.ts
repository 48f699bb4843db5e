/**
 * Names as the configuration has them looked up: those that it knows itself, then its name servers, else the system.
 *
 * @module
 */
import { foldName, localhost } from "../core/address.ts";
import type { Context } from "../core/conn.ts";
import type { Network } from "../core/direct.ts";
import { Scope, unlessAborted } from "../core/scope.ts";
import type { Config } from "../config/schema.ts";
import { chainDialer } from "../routing/via.ts";
import { Cache } from "./cache.ts";
import { failure } from "./failure.ts";
import { type Hosts, listed } from "./hosts.ts";
import type { Answer } from "./message.ts";
import { type Exchange, NameServer } from "./server.ts";

/** How long one server may take before the next is asked, in milliseconds. */
const patience = 3_000;

/** The network that resolves names as the configuration says. */
export function namedNetwork<N extends Network & { readonly exchange: Exchange }>(
  { names, timeouts }: Pick<Config, "names" | "timeouts">,
  runtime: N,
  retired?: AbortSignal,
): Network {
  if (names === undefined) return runtime;
  const { hosts, servers, via } = names;
  const network: Network = {
    connect: runtime.connect.bind(runtime),
    resolve: async (hostname, family, ctx) =>
      listed(hosts, hostname, family) ?? await runtime.resolve(hostname, family, ctx),
  };
  if (servers === undefined) return network;
  // The name servers themselves, and the hops to them, are found by the system.
  const dialer = chainDialer(via, { network, timeouts, retired });
  const exchange: Exchange = (...message) => runtime.exchange(...message);
  const wires = { dialer, network, exchange };
  const resolver = new Resolver(hosts, servers.map((server) => new NameServer(server, wires)));
  return { ...network, resolve: (hostname, family, ctx) => resolver.resolve(hostname, family, ctx) };
}

class Resolver {
  readonly #cache = new Cache();

  constructor(readonly hosts: Hosts, readonly servers: readonly NameServer[]) {}

  /** The addresses of one family. @throws ProxyError when there is no such name, or nobody can say */
  async resolve(hostname: string, family: 4 | 6, ctx: Context): Promise<string[]> {
    const here = listed(this.hosts, hostname, family) ?? localhost(hostname, family);
    if (here !== undefined) return here;
    const name = foldName(hostname);
    if (!fits(name)) throw failure(`name not found: ${hostname}`);
    const looking = this.#cache.get(`${family} ${name}`, () => this.#ask(name, family));
    const { addresses, unknown } = await unlessAborted(looking, ctx);
    if (unknown) throw failure(`name not found: ${hostname}`);
    return [...addresses];
  }

  /** Asks one server after the other until one knows, for everybody who waits: whoever leaves, the rest goes on. */
  async #ask(name: string, family: 4 | 6): Promise<Answer> {
    let failed: unknown;
    for (const server of this.servers) {
      const scope = new Scope().limit(patience);
      try {
        return await server.ask(name, family, scope);
      } catch (error) {
        failed = error;
      } finally {
        scope.leave();
      }
    }
    throw failed;
  }
}

/** Whether a question can hold the name (RFC 1035 section 2.3.4): longer ones are malformed messages. */
function fits(name: string): boolean {
  return name.length <= 253 && name.split(".").every((label) => label.length <= 63);
}
