/**
 * `fetch` by way of a dialer: the platform's own, which asks a listener on the loopback that only it can use.
 *
 * @module
 */
import { formatEndpoint } from "./core/address.ts";
import type { Endpoint } from "./core/conn.ts";
import type { Dialer } from "./core/dialer.ts";
import { ProxyError } from "./core/errors.ts";
import { validateConfig } from "./config/load.ts";
import type { Fetch, ProxiedFetch } from "./runtime/proxied_fetch.ts";
import { currentRuntime } from "./runtime/runtime.ts";
import { alone, Server } from "./server.ts";

export type { Fetch };

/** A `fetch` that goes through a dialer; the listener behind it is closed with it. */
export type DialedFetch = Fetch & AsyncDisposable;

/**
 * A `fetch` that reaches servers through `dialer`, and is the platform's own in everything else: redirects, cookies,
 * compression, streams and the verification of certificates. `http:` and `https:` URLs alike become tunnels.
 *
 * It works by a listener on the loopback, with a password of its own, which opens with the first request and closes when
 * the function is disposed of (`await using`). A program that doesn't do that ends soon after its last request.
 *
 * @throws ProxyError, from the promise, when the server could not be reached; it names the hop
 *
 * @example
 * ```ts
 * import { chain, fetchThrough, serve, socks5 } from "@hopline/hopline";
 *
 * await using relay = await serve({ listeners: ["127.0.0.1:0"], log: { level: "error" } });
 * await using fetch = fetchThrough(chain([socks5(relay.addresses[0])]));
 * const failure = await fetch("http://nowhere.invalid/").catch((error) => error);
 * console.log(failure.code, failure.hop); // unreachable 1
 * ```
 */
export function fetchThrough(dialer: Dialer): DialedFetch {
  const failures = new Failures(dialer);
  let opened: Promise<Opened> | undefined;
  const dialed: Fetch = async (input, init) => {
    const { fetch } = await (opened ??= open(failures));
    const server = serverOf(input);
    const before = failures.of(server);
    const failed = () => {
      const failure = failures.of(server);
      return failure === before ? undefined : failure;
    };
    let response: Response;
    try {
      response = await fetch(input, init);
    } catch (error) {
      throw failed() ?? error;
    }
    const refused = response.status >= 400 && response.headers.get("proxy-status")?.startsWith("hopline;");
    const failure = refused ? failed() : undefined;
    if (failure === undefined) return response;
    await response.body?.cancel();
    throw failure;
  };
  return Object.assign(dialed, {
    async [Symbol.asyncDispose]() {
      const listening = await opened;
      listening?.close();
      await listening?.server.close(0);
    },
  });
}

interface Opened extends ProxiedFetch {
  readonly server: Server;
}

async function open(dialer: Dialer): Promise<Opened> {
  const username = crypto.randomUUID();
  const password = crypto.randomUUID();
  const listener = { address: "127.0.0.1:0", protocols: ["http" as const], users: [{ username, password }] };
  const config = await validateConfig({ listeners: [listener] });
  const runtime = await currentRuntime();
  // Only requests that are under way keep the program running.
  const background = alone({ ...runtime, listen: (at) => runtime.listen(at, { background: true }) });
  const server = await Server.start(config, { dialer, log: () => {} }, background);
  return { server, ...runtime.proxiedFetch({ address: server.addresses[0], username, password }) };
}

/** A dialer that remembers why a target could not be reached: a status would not say it all. */
class Failures implements Dialer {
  readonly #last = new Map<string, ProxyError>();

  constructor(readonly dialer: Dialer) {}

  async dial(target: Endpoint, ctx?: Parameters<Dialer["dial"]>[1]) {
    const key = formatEndpoint(target);
    try {
      return await this.dialer.dial(target, ctx);
    } catch (error) {
      // One at a time: what was asked for last tells why.
      if (error instanceof ProxyError) this.#last.set(key, error);
      if (this.#last.size > mostFailures) this.#last.delete(this.#last.keys().next().value!);
      throw error;
    }
  }

  of(server: string): ProxyError | undefined {
    return this.#last.get(server);
  }
}

const mostFailures = 1000;

/** `host:port` of what is asked for. */
function serverOf(input: Parameters<Fetch>[0]): string {
  const { hostname, port, protocol } = new URL(input instanceof Request ? input.url : input);
  return formatEndpoint({
    hostname: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port) || (protocol === "https:" ? 443 : 80),
  });
}
