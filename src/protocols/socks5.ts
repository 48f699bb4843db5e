/**
 * SOCKS5 (RFC 1928) with username/password authentication (RFC 1929), both sides.
 *
 * Goals: each message whole in one write, its answer awaited before the next (some servers lose data that comes
 * early); every reply complete; success never before the dial. Non-goals here: GSSAPI, UDP ASSOCIATE, BIND.
 *
 * @module
 */
import { checkTarget, ipBytes, ipFromBytes, ipVersion, parseHostname } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { type ErrorCode, ProxyError } from "../core/errors.ts";
import { type Handshake, read, settled, write } from "../core/handshake.ts";
import { type Gate, type Inbound, tunnelHandler, type TunnelRequest } from "../core/serve.ts";

const VERSION = 5;
const AUTH_VERSION = 1;
const METHOD = { none: 0, password: 2, unacceptable: 0xff } as const;
const COMMAND = { connect: 1 } as const;
const ATYP = { ipv4: 1, domain: 3, ipv6: 4 } as const;

/** RFC 1928 section 6. */
const REPLY = {
  refused: 5,
  unreachable: 4,
  netUnreachable: 3,
  resolve: 4,
  timeout: 6,
  denied: 2,
  limit: 2,
  loop: 2,
  auth: 1,
  protocol: 1,
  tls: 1,
  unsupported: 7,
  address: 8,
  closed: 1,
  failed: 1,
} as const satisfies Record<ErrorCode, number>;

/** What a server's REP means to us, and to the client's own protocol. */
const MEANING: readonly (readonly [ErrorCode, string])[] = [
  ["failed", "succeeded"],
  ["failed", "general failure"],
  ["denied", "not allowed by its rules"],
  ["netUnreachable", "network unreachable"],
  ["unreachable", "host unreachable"],
  ["refused", "connection refused"],
  ["timeout", "TTL expired"],
  ["unsupported", "command not supported"],
  ["address", "address type not supported"],
];

/** Credentials for a hop. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const bytes = new TextEncoder();

// --- the client's side -----------------------------------------------------------------------------------------

/** Asks a SOCKS5 server for a tunnel to `target`; names travel unresolved. */
export function* connect(target: Endpoint, credentials?: Credentials): Handshake<void> {
  //  +----+----------+----------+      +----+--------+
  //  |VER | NMETHODS | METHODS  |  ->  |VER | METHOD |
  //  +----+----------+----------+      +----+--------+
  const offered = credentials === undefined ? [METHOD.none] : [METHOD.none, METHOD.password];
  yield* write(Uint8Array.of(VERSION, offered.length, ...offered));
  const [version, method] = yield* read(2, "the SOCKS5 method selection", "auth");
  if (version !== VERSION) throw upstream("protocol", "auth", `expected SOCKS version 5, got ${version}`);
  if (method === METHOD.password && credentials !== undefined) yield* logIn(credentials);
  else if (method === METHOD.unacceptable) {
    throw upstream(
      "auth",
      "auth",
      credentials === undefined
        ? "the server wants credentials and none are configured"
        : "the server accepts neither a user name and password nor no authentication",
    );
  } else if (method !== METHOD.none) {
    throw upstream(
      "protocol",
      "auth",
      `the server chose authentication method ${method}, which was not offered`,
    );
  }
  //  +----+-----+-------+------+----------+----------+
  //  |VER | CMD |  RSV  | ATYP | DST.ADDR | DST.PORT |
  //  +----+-----+-------+------+----------+----------+
  yield* write(message(COMMAND.connect, checkTarget(target)));
  const [replyVersion, reply, , atyp] = yield* read(4, "the SOCKS5 reply");
  if (replyVersion !== VERSION) {
    throw upstream("protocol", "request", `expected a reply of SOCKS version 5, got ${replyVersion}`);
  }
  if (reply !== 0) {
    const [code, meaning] = MEANING[reply] ?? ["failed", "unassigned code"];
    const failure = upstream(code, "request", `the server answered ${reply} (${meaning})`);
    // A server that tells of these has tried, and would have succeeded with another target.
    throw code === "refused" || code === "unreachable" ? failure.blame("target") : failure;
  }
  yield* readBound(atyp);
}

function* logIn({ username, password }: Credentials): Handshake<void> {
  //  +----+------+----------+------+----------+      +----+--------+
  //  |VER | ULEN |  UNAME   | PLEN |  PASSWD  |  ->  |VER | STATUS |
  //  +----+------+----------+------+----------+      +----+--------+
  const name = field(username, "user name");
  const secret = field(password, "password");
  yield* write(Uint8Array.of(AUTH_VERSION, name.length, ...name, secret.length, ...secret));
  const [version, status] = yield* read(2, "the answer to the credentials", "auth");
  // Some servers answer with version 5 here; the status is what counts.
  if (version !== AUTH_VERSION && version !== VERSION) {
    throw upstream("protocol", "auth", `expected authentication version 1, got ${version}`);
  }
  if (status !== 0) throw upstream("auth", "auth", `the server refused the credentials (status ${status})`);
}

function field(value: string, what: string): Uint8Array {
  const encoded = bytes.encode(value);
  if (encoded.length < 1 || encoded.length > 255) {
    throw new ProxyError(`the ${what} is ${encoded.length} bytes long; SOCKS5 takes 1 to 255`, {
      code: "auth",
      side: "local",
      stage: "auth",
    });
  }
  return encoded;
}

/** BND.ADDR and BND.PORT, which nobody needs: a domain of length 0 is tolerated here, and never sent. */
function* readBound(atyp: number): Handshake<void> {
  const what = "the address in the SOCKS5 reply";
  if (atyp === ATYP.ipv4) yield* read(4 + 2, what);
  else if (atyp === ATYP.ipv6) yield* read(16 + 2, what);
  else if (atyp === ATYP.domain) {
    const [length] = yield* read(1, what);
    yield* read(length + 2, what);
  } else throw upstream("protocol", "request", `the reply has address type ${atyp}; expected 1, 3 or 4`);
}

function upstream(code: ErrorCode, stage: "auth" | "request", message: string): ProxyError {
  return new ProxyError(message, { code, side: "upstream", stage });
}

/** A request or a reply, with an address or a checked name, which is 1 to 255 bytes long. */
function message(code: number, { hostname, port }: Endpoint): Uint8Array {
  const version = ipVersion(hostname);
  const host = version === 0 ? bytes.encode(hostname) : ipBytes(hostname);
  const start = version === 0 ? 5 : 4;
  const message = new Uint8Array(start + host.length + 2);
  message[0] = VERSION;
  message[1] = code;
  message[3] = version === 0 ? ATYP.domain : version === 4 ? ATYP.ipv4 : ATYP.ipv6;
  if (version === 0) message[4] = host.length;
  message.set(host, start);
  message[start + host.length] = port >> 8;
  message[start + host.length + 1] = port & 255;
  return message;
}

// --- the server's side -----------------------------------------------------------------------------------------

/** Serves one client up to its request; refuses in SOCKS5 whatever it may not have. */
export function* accept(gate: Gate): Handshake<TunnelRequest> {
  const greeting = yield* read(2, "the SOCKS5 greeting");
  const version = greeting[0];
  if (version !== VERSION) throw yield* refuse("protocol", `expected SOCKS version 5, got ${version}`);
  const methods = yield* read(greeting[1], "the SOCKS5 methods");
  const wanted = gate === null ? METHOD.none : METHOD.password;
  if (!methods.includes(wanted)) {
    const code = gate === null ? "unsupported" : "auth";
    const answer = Uint8Array.of(VERSION, METHOD.unacceptable);
    throw yield* refuse(code, `no acceptable authentication method among [${methods}]`, answer);
  }
  yield* write(Uint8Array.of(VERSION, wanted));
  const user = gate === null ? undefined : yield* authenticate(gate);

  const request = yield* read(4, "the SOCKS5 request");
  if (request[0] !== VERSION) {
    throw yield* refuse(
      "protocol",
      `expected a request of SOCKS version 5, got ${request[0]}`,
      reply(1, null),
    );
  }
  const command = request[1];
  const target = yield* readTarget(request[3]);
  const serve = commands[command];
  if (serve === undefined) {
    throw yield* refuse("unsupported", `command ${command} is not supported`, reply(7, null));
  }
  return yield* serve(target, user);
}

/** The command map: UDP ASSOCIATE and BIND would be two more entries. Their port may be 0. */
const commands: Record<number, (target: Endpoint, user?: string) => Handshake<TunnelRequest>> = {
  *[COMMAND.connect](target, user) {
    if (target.port === 0) throw yield* refuse("address", "port 0 can't be connected to", reply(1, null));
    return {
      target,
      user,
      accepted: (bound) => reply(0, bound),
      refused: (error) => reply(REPLY[error.code], null),
    };
  },
};

function* authenticate(gate: NonNullable<Gate>): Handshake<string> {
  const [version, nameLength] = yield* read(2, "the user name", "auth");
  if (version !== AUTH_VERSION) {
    const answer = Uint8Array.of(AUTH_VERSION, 1);
    throw yield* refuse("protocol", `expected authentication version 1, got ${version}`, answer);
  }
  const name = yield* read(nameLength, "the user name", "auth");
  const [secretLength] = yield* read(1, "the password", "auth");
  const secret = yield* read(secretLength, "the password", "auth");
  const username = decode(name);
  const password = decode(secret);
  const known = username !== undefined && password !== undefined;
  if (!known || !(yield* settled(gate(username, password)))) {
    const who = username === undefined ? "an unreadable user name" : `user ${JSON.stringify(username)}`;
    throw yield* refuse("auth", `wrong credentials for ${who}`, Uint8Array.of(AUTH_VERSION, 1));
  }
  yield* write(Uint8Array.of(AUTH_VERSION, 0));
  return username;
}

function* readTarget(atyp: number): Handshake<Endpoint> {
  const what = "the address in the SOCKS5 request";
  const fixed = atyp === ATYP.ipv4 ? 4 : atyp === ATYP.ipv6 ? 16 : undefined;
  if (fixed === undefined && atyp !== ATYP.domain) {
    throw yield* refuse("address", `address type ${atyp} is not supported`, reply(REPLY.address, null));
  }
  const length = fixed ?? (yield* read(1, what))[0];
  const rest = yield* read(length + 2, what);
  const host = rest.subarray(0, length);
  const port = rest[length] << 8 | rest[length + 1];
  if (fixed !== undefined) return { hostname: ipFromBytes(host), port };
  try {
    return { hostname: parseHostname(decode(host) ?? ""), port };
  } catch (error) {
    throw yield* refuse("address", (error as Error).message, reply(REPLY.address, null));
  }
}

function decode(field: Uint8Array): string | undefined {
  try {
    return text.decode(field);
  } catch {
    return undefined;
  }
}

/** Writes an answer and makes the error that ends the handshake. */
function* refuse(code: ErrorCode, message: string, answer?: Uint8Array): Handshake<ProxyError> {
  if (answer !== undefined) yield* write(answer);
  return new ProxyError(message, {
    code,
    side: "client",
    stage: code === "auth" ? "auth" : "request",
  });
}

/** A reply, always complete; an address that is not known is `0.0.0.0:0`, never a domain of length 0. */
function reply(code: number, bound: Endpoint | null): Uint8Array {
  const known = bound !== null && ipVersion(bound.hostname) !== 0;
  return message(code, known ? bound : { hostname: "0.0.0.0", port: 0 });
}

/** SOCKS5 on a listener. */
export const socks5: Inbound = {
  matcher: { name: "socks5", match: (head) => head[0] === VERSION ? "yes" : "no" },
  handler: tunnelHandler("socks5", accept),
  unwelcome: () => Uint8Array.of(VERSION, METHOD.unacceptable),
};
