/**
 * From a checked configuration to what serves it: dialers, gates and the protocols of each listener.
 *
 * @module
 */
import { formatEndpoint } from "./core/address.ts";
import type { Endpoint } from "./core/conn.ts";
import { type Dialer, fold, limited } from "./core/dialer.ts";
import { directDialer, type Network } from "./core/direct.ts";
import { ProxyError } from "./core/errors.ts";
import type { Handler } from "./core/serve.ts";
import { type Config, type HopConfig, type ListenerConfig, theChain } from "./config/schema.ts";
import { makeGate } from "./gate.ts";
import { tlsHandler, tlsMatcher, tlsRefusal, TlsTerminator } from "./protocols/tls.ts";
import { hopLabel, inbound, type InboundName, makeHop } from "./registry.ts";
import type { Candidate, Service } from "./session.ts";

/** What a server does, made whole before any of it takes effect. */
export interface Plan {
  readonly listeners: readonly { readonly address: Endpoint; readonly service: Service }[];
  readonly limits: Config["limits"];
  readonly drain: number;
  readonly log: Config["log"];
}

/** Makes a plan; `dialer` stands in for the configured chain. */
export function makePlan(config: Config, network: Network, dialer?: Dialer): Plan {
  const chain = dialer === undefined ? theChain(config) : null;
  const way = dialer ?? chainDialer(chain?.hops ?? [], network, config.timeouts);
  const via = (chain?.hops ?? []).map((hop) => hop.name ?? hopLabel(hop));
  return {
    listeners: config.listeners.map((listener) => ({
      address: listener.address,
      service: makeService(listener, way, via, config),
    })),
    limits: config.limits,
    drain: config.timeouts.drain,
    log: config.log,
  };
}

/** The dialer of a chain of hops, each within its own time. */
export function chainDialer(
  hops: readonly HopConfig[],
  network: Network,
  timeouts: { readonly connect: number; readonly handshake: number },
): Dialer {
  const first = limited(directDialer(network), hops[0]?.timeout ?? timeouts.connect);
  const resolve = network.resolve.bind(network);
  return fold(first, hops.map((hop) => makeHop(hop, resolve, timeouts.handshake)));
}

function makeService(
  listener: ListenerConfig,
  dialer: Dialer,
  via: readonly string[],
  config: Config,
): Service {
  const { target, tls, users } = listener;
  const spoken = speak(listener.protocols);
  const [options] = tls ?? [];
  const terminator = options && { matcher: tlsMatcher, handler: tlsHandler(new TlsTerminator(options)) };
  const { idle, halfClosed, handshake } = config.timeouts;
  return {
    listener: formatEndpoint(listener.address),
    gate: makeGate(users),
    target,
    candidates: target !== undefined
      ? (terminator ? [terminator] : [])
      : terminator === undefined
      ? [...spoken, refusing(tlsMatcher, () => tlsRefusal, "this listener does not speak TLS")]
      : options.required
      ? [terminator, ...speak([], "this listener requires TLS")]
      : [terminator, ...spoken],
    within: spoken,
    dialer,
    via,
    maxBytes: config.limits.headerBytes,
    timeouts: { idle, halfClosed, handshake },
    forwarded: listener.forwarded ?? false,
  };
}

/** Every protocol: those that are allowed are served, the others answered in their own words. */
function speak(allowed?: readonly InboundName[], why = "this listener does not speak"): Candidate[] {
  return Object.entries(inbound).map(([name, { matcher, handler, unwelcome }]) => {
    if (allowed === undefined || allowed.includes(name as InboundName)) return { matcher, handler };
    const reason = why.endsWith("speak") ? `${why} ${name}; it speaks ${allowed.join(", ")}` : why;
    return refusing(matcher, unwelcome, reason);
  });
}

function refusing(matcher: Candidate["matcher"], words: (why: string) => Uint8Array, why: string): Candidate {
  const handler: Handler = {
    async handle(conn) {
      await conn.write(words(why));
      throw new ProxyError(`${why} (${matcher.name})`, { code: "denied", side: "client", stage: "request" });
    },
  };
  return { matcher, handler };
}
