/**
 * SOCKS4 and SOCKS4a (OpenSSH's socks4.protocol and socks4a.protocol), both sides.
 *
 * There are no passwords: a listener that has users refuses SOCKS4.
 *
 * @module
 */
import { checkTarget, ipBytes, ipFromBytes, ipVersion, parseHostname } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { type ErrorCode, ProxyError } from "../core/errors.ts";
import { type Find, type Handshake, read, TooLong, until, write } from "../core/handshake.ts";
import { type Gate, type Inbound, tunnelHandler, type TunnelRequest } from "../core/serve.ts";

const VERSION = 4;
const CONNECT = 1;
const GRANTED = 90;
const REJECTED = 91;
const maxUserId = 512;
const maxHost = 255;

/** 91 says no more than "rejected or failed"; 93 is the one that speaks of the client's identity. */
const REPLY = {
  refused: REJECTED,
  unreachable: REJECTED,
  netUnreachable: REJECTED,
  resolve: REJECTED,
  timeout: REJECTED,
  denied: REJECTED,
  limit: REJECTED,
  loop: REJECTED,
  auth: REJECTED,
  protocol: REJECTED,
  tls: REJECTED,
  unsupported: REJECTED,
  address: REJECTED,
  closed: REJECTED,
  failed: REJECTED,
} as const satisfies Record<ErrorCode, number>;

const MEANING: Record<number, readonly [ErrorCode, string]> = {
  91: ["failed", "rejected or failed"],
  92: ["auth", "rejected: it can't reach our identd"],
  93: ["auth", "rejected: our identd reports another user"],
};

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const bytes = new TextEncoder();
const nul: Find = (head, from) => head.indexOf(0, from) + 1 || -1;

/** Asks a SOCKS4 server for a tunnel. A name goes along as SOCKS4a; an IPv6 address has no place in either. */
export function* connect(target: Endpoint, userId = ""): Handshake<void> {
  //  +----+----+----+----+----+----+----+----+----+----+....+----+----+....+----+
  //  | VN | CD | DSTPORT |      DSTIP        | USERID       |NULL| HOST     NULL|   (HOST: SOCKS4a, DSTIP 0.0.0.1)
  //  +----+----+----+----+----+----+----+----+----+----+....+----+----+....+----+
  const { hostname, port } = checkTarget(target);
  const version = ipVersion(hostname);
  if (version === 6) {
    throw local("address", "SOCKS4 can't carry an IPv6 address; use SOCKS5 or a name");
  }
  const user = bytes.encode(userId);
  if (user.length > maxUserId || user.includes(0)) {
    throw local("auth", `the user id is longer than ${maxUserId} bytes or holds a NUL`);
  }
  const ip = version === 4 ? ipBytes(hostname) : [0, 0, 0, 1];
  const host = version === 4 ? [] : [...bytes.encode(hostname), 0];
  yield* write(Uint8Array.of(VERSION, CONNECT, port >> 8, port & 255, ...ip, ...user, 0, ...host));
  const [vn, code] = yield* read(8, "the SOCKS4 reply");
  // The reply's version is 0; some servers send 4.
  if (vn !== 0 && vn !== VERSION) throw upstream("protocol", `expected a SOCKS4 reply, got version ${vn}`);
  if (code !== GRANTED) {
    const [meaning, why] = MEANING[code] ?? ["protocol", "unassigned code"];
    throw upstream(meaning, `the server answered ${code} (${why})`);
  }
}

function local(code: "address" | "auth", message: string): ProxyError {
  return new ProxyError(message, { code, side: "local", stage: code === "auth" ? "auth" : "request" });
}

function upstream(code: ErrorCode, message: string): ProxyError {
  return new ProxyError(message, { code, side: "upstream", stage: code === "auth" ? "auth" : "request" });
}

/** Serves one client up to its request. */
export function* accept(gate: Gate): Handshake<TunnelRequest> {
  const head = yield* read(8, "the SOCKS4 request");
  if (head[0] !== VERSION) throw yield* refuse("protocol", `expected SOCKS version 4, got ${head[0]}`);
  // Refused before anything else is read: nothing that follows could authenticate the client.
  if (gate !== null) throw yield* refuse("auth", "this listener has users and SOCKS4 has no passwords", 93);
  yield* field(maxUserId, "the SOCKS4 user id");
  const ip = head.subarray(4, 8);
  const named = ip[0] === 0 && ip[1] === 0 && ip[2] === 0 && ip[3] !== 0;
  const name = named ? yield* field(maxHost, "the SOCKS4a host") : new Uint8Array(0);
  if (head[1] !== CONNECT) throw yield* refuse("unsupported", `command ${head[1]} is not supported`);
  const port = head[2] << 8 | head[3];
  if (port === 0) throw yield* refuse("address", "port 0 can't be connected to");
  if (!named && ip.every((byte) => byte === 0)) {
    throw yield* refuse("address", "0.0.0.0 can't be connected to");
  }
  let hostname = ipFromBytes(ip);
  try {
    if (named) hostname = parseHostname(text.decode(name));
  } catch (error) {
    throw yield* refuse("address", (error as Error).message);
  }
  return {
    target: { hostname, port },
    accepted: (bound) => reply(GRANTED, bound),
    refused: (error) => reply(REPLY[error.code], null),
  };
}

/** Bytes before a NUL, which is not waited for once there are more than `max`. */
function* field(max: number, what: string): Handshake<Uint8Array> {
  try {
    return (yield* until(nul, max + 1, `${what} with its NUL`)).subarray(0, -1);
  } catch (error) {
    if (error instanceof TooLong) yield* write(reply(REJECTED, null));
    throw error;
  }
}

function* refuse(code: ErrorCode, message: string, answer: number = REPLY[code]): Handshake<ProxyError> {
  yield* write(reply(answer, null));
  return new ProxyError(message, { code, side: "client", stage: code === "auth" ? "auth" : "request" });
}

function reply(code: number, bound: Endpoint | null): Uint8Array {
  const known = bound !== null && ipVersion(bound.hostname) === 4;
  const { hostname, port } = known ? bound : { hostname: "0.0.0.0", port: 0 };
  return Uint8Array.of(0, code, port >> 8, port & 255, ...ipBytes(hostname));
}

/** SOCKS4 and SOCKS4a on a listener. */
export const socks4: Inbound = {
  matcher: { name: "socks4", match: (head) => head[0] === VERSION ? "yes" : "no" },
  handler: tunnelHandler("socks4", accept),
  unwelcome: () => reply(REJECTED, null),
};
