/**
 * From a checked configuration to what serves it: dialers, gates and the protocols of each listener.
 *
 * @module
 */
import { formatEndpoint, isLoopback } from "./core/address.ts";
import { cidrContains } from "./core/cidr.ts";
import { BufferedConn, type Endpoint } from "./core/conn.ts";
import type { Dialer } from "./core/dialer.ts";
import { ProxyError } from "./core/errors.ts";
import { forwardRequest, type Handler, type Target } from "./core/serve.ts";
import { Bandwidths } from "./bandwidths.ts";
import { Certificates } from "./certificates.ts";
import type { Config, ListenerConfig, TargetConfig, TargetGroupConfig } from "./config/schema.ts";
import { makeGate } from "./gate.ts";
import type { Log } from "./log.ts";
import { namedNetwork } from "./names/resolver.ts";
import { tlsHandler, tlsMatcher, tlsRefusal } from "./protocols/tls.ts";
import { nameMatches, tlsByName } from "./protocols/tls_names.ts";
import { calledInConfig, httpVersions, inbound, type InboundName, targetLayer } from "./registry.ts";
import { Healths } from "./routing/health.ts";
import { makeGuard } from "./routing/access.ts";
import { makeRouter, type Router } from "./routing/router.ts";
import { makeTarget } from "./routing/targets.ts";
import type { Runtime } from "./runtime/runtime.ts";
import type { Candidate, Service } from "./session.ts";

/** What a server does, made whole before any of it takes effect. */
export interface Plan {
  readonly listeners: readonly PlannedListener[];
  readonly limits: Config["limits"];
  readonly drain: number;
  readonly log: Config["log"];
  /** What it knows of the members of its groups. */
  readonly healths: Healths;
  /** What bandwidth it has given to whom. */
  readonly bandwidths: Bandwidths;
}

/** A listener of a plan. */
export interface PlannedListener {
  /** Tells it from the others, in one plan as in the next. */
  readonly key: string;
  readonly address: Endpoint;
  readonly service: Service;
}

/**
 * Makes a plan, in force until `retired` aborts; `dialer` stands in for configured chains and routes. What happens to
 * certificates and to the members of groups later is logged; `earlier` is the plan that this one is to replace.
 */
export function makePlan(
  config: Config,
  runtime: Runtime,
  log: Log,
  retired: AbortSignal,
  dialer?: Dialer,
  earlier?: Plan,
): Plan {
  const healths = new Healths();
  const network = namedNetwork(config, runtime, retired);
  const means = { network, timeouts: config.timeouts, retired, log, healths, earlier: earlier?.healths };
  const bandwidths = new Bandwidths(config.limits.bandwidthPerUser, earlier?.bandwidths);
  const router = makeRouter(config, means, dialer);
  const toTarget = (target: TargetConfig | TargetGroupConfig) => makeTarget(target, means);
  return {
    healths,
    bandwidths,
    listeners: config.listeners.map((listener, index) => {
      const { address, bandwidth } = listener;
      const key = listenerKey(address, index);
      const service = makeService(
        listener,
        (asked, ctx) => router({ ...asked, listener: index, protocol: calledInRoutes(asked.protocol) }, ctx),
        toTarget,
        config,
        log,
        retired,
      );
      return { key, address, service: { ...service, bandwidths: bandwidths.of(key, bandwidth) } };
    }),
    limits: config.limits,
    drain: config.timeouts.drain,
    log: config.log,
  };
}

/** What tells listeners apart; those that take any port, by their places. */
export function listenerKey(address: Endpoint, index: number): string {
  return address.port === 0 ? `${formatEndpoint(address)} ${index}` : formatEndpoint(address);
}

function makeService(
  listener: ListenerConfig,
  route: Router,
  toTarget: ToTarget,
  config: Config,
  log: Log,
  retired: AbortSignal,
): Service {
  const { proxyProtocol, target, tls, users } = listener;
  const { idle, halfClosed, handshake, connect } = config.timeouts;
  const protocols = protocolsOf(listener);
  const spoken = protocols.length === 0 ? [] : speak(protocols);
  const inTls = tlsCandidate(listener, protocols, connect, toTarget, log);
  return {
    listener: formatEndpoint(listener.address),
    gate: makeGate(users),
    target: target && toTarget(target),
    trusts: proxyProtocol &&
      ((peer) => proxyProtocol.trusted.some((cidr) => cidrContains(cidr, peer.hostname))),
    candidates: target !== undefined
      ? (inTls ? [inTls] : [])
      : inTls === undefined
      ? [...spoken, refusing(tlsMatcher, () => tlsRefusal, "this listener does not speak TLS")]
      : tls?.some(({ required }) => required)
      ? [inTls, ...speak([], "this listener requires TLS")]
      : [inTls, ...spoken],
    within: spoken,
    guard: makeGuard(config.access, isLoopback(listener.address.hostname) || listener.reverse === true),
    route,
    retired,
    maxBytes: config.limits.headerBytes,
    timeouts: { idle, halfClosed, handshake },
    forwarded: listener.forwarded ?? false,
    reverse: listener.reverse ?? false,
  };
}

/** What a route calls a protocol of the log: every version of HTTP is `http`. */
function calledInRoutes(protocol: string | undefined): string | undefined {
  return calledInConfig[protocol as keyof typeof calledInConfig] ?? protocol;
}

/** What a listener speaks; one that leads to servers is no proxy besides, unless it says so. */
function protocolsOf({ protocols, sni, target, tls, reverse }: ListenerConfig): readonly InboundName[] {
  if (target !== undefined) return [];
  if (reverse) return ["http"];
  const ingress = sni !== undefined || tls?.some((one) => one.target !== undefined);
  return protocols ?? (ingress ? [] : Object.values(calledInConfig));
}

/** What becomes of TLS: passed on by name, terminated, or neither. */
function tlsCandidate(
  { sni, tls }: ListenerConfig,
  protocols: readonly InboundName[],
  timeout: number,
  toTarget: ToTarget,
  log: Log,
): Candidate | undefined {
  if (sni === undefined && tls === undefined) return undefined;
  // What goes on to a target is spoken there; we have no say in it.
  const alpn = protocols.includes("http") ? httpVersions : undefined;
  const certificates = tls &&
    new Certificates(tls.map((one) => one.target === undefined ? { ...one, alpn } : one), log);
  const targets = (tls ?? []).map(({ target }) => target && toTarget(target));
  const handler = tlsByName({
    passOn: sni && {
      port: sni.port,
      layer: targetLayer(sni, timeout),
      passes: async (name) =>
        sni.names?.some((pattern) => nameMatches(pattern, name, "any")) ??
          await certificates?.find(name) === undefined,
    },
    terminator: certificates && (async (name) => {
      const { index, terminator } = await certificates.choose(name);
      const target = targets[index];
      return target === undefined ? tlsHandler(terminator) : forwarding(tlsHandler(terminator), target);
    }),
  });
  return { matcher: tlsMatcher, handler };
}

/** Peels a layer; what is inside goes to the target. */
function forwarding(peel: Handler, target: Target): Handler {
  return {
    handle: (conn, session) =>
      peel.handle(conn, session, async (inner) => {
        await session.tunnel(BufferedConn.of(inner), "tcp", forwardRequest(target));
      }),
  };
}

type ToTarget = (target: TargetConfig | TargetGroupConfig) => Target;

/** Every protocol: those that are allowed are served, the others answered in their own words. */
function speak(allowed: readonly InboundName[], why = "this listener does not speak"): Candidate[] {
  return Object.entries(inbound).map(([key, { matcher, handler, unwelcome }]) => {
    const name = calledInConfig[key as keyof typeof inbound];
    if (allowed.includes(name)) return { matcher, handler };
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
