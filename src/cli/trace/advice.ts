/**
 * What to try next, when a trace ends before its target.
 *
 * @module
 */
import type { ErrorCode, ProxyError, Stage } from "../../core/errors.ts";

type Advice = string | Partial<Record<Stage, string>>;

/** By what went wrong, and where that matters, at which stage. */
const advice = {
  refused: {
    connect: "nothing listens at that address: check host and port, and whether the server runs",
    request: "the hop is fine, but nothing listens where it was sent: check the target's port",
  },
  unreachable: "there is no way to that host from there: check the address, the network and the firewall",
  netUnreachable: "there is no way to that network from there: check the address, a VPN, or IPv6",
  resolve: {
    resolve: "the name is not known here: check its spelling, or let a hop resolve it",
    request: "the hop does not know the name: check its spelling, or give the address",
  },
  timeout: {
    connect:
      "packets vanish on the way: a firewall drops them, or the host is down; try another port, such as 443",
    tls:
      "the server took the connection and says nothing: it may not speak TLS, or wants another server name",
    auth: "the server took the connection and says nothing: is it really a proxy of this kind?",
    request: "the hop does not answer: is it a proxy of this kind, and can it reach the target?",
  },
  denied: "the hop's rules forbid it: many office proxies allow only port 443, so move the next hop there",
  limit: "there are too many tunnels: try again later, or raise the limit",
  loop: "the chain leads back to this program: its address and a hop's are the same",
  auth: "check user name and password, percent-encoded in a URL; the hop may want none, or another scheme",
  protocol:
    "what answered is not a proxy of this kind: check the hop's protocol and port, and whether it wants TLS",
  tls:
    "check the server's name (sni=), its authority (ca=), its pin (pin=), or whether it speaks TLS there at all",
  unsupported: "the hop can't do that: another kind of hop may",
  address: "the hop can't take this kind of address: try the name, or resolve=local",
  closed: {
    tls: "the server hung up on TLS: check that the port speaks it, the server name, and client certificates",
    auth: "the server hung up instead of answering: is it a proxy of this kind, without TLS?",
    request: "the hop hung up instead of answering: it may forbid the target, or be no proxy of this kind",
  },
  failed: "the hop gives no reason: its own log may",
} satisfies Record<ErrorCode, Advice>;

/** Words for a failure, or none. */
export function adviceFor({ code, stage }: ProxyError): string | undefined {
  const found: Advice = advice[code];
  return typeof found === "string" ? found : found[stage];
}
