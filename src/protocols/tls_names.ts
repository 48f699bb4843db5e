/**
 * TLS by server name: a connection is passed on as it is, byte for byte, or terminated with the certificate of the
 * name that its ClientHello asks for.
 *
 * @module
 */
import {
  type ClientHello,
  ClientHelloError,
  ClientHelloReader,
  maxClientHello,
} from "../core/client_hello.ts";
import type { BufferedConn, Endpoint } from "../core/conn.ts";
import type { Layer } from "../core/dialer.ts";
import { type ErrorCode, ProxyError } from "../core/errors.ts";
import { type Handler, peek, type Session } from "../core/serve.ts";

/** How connections are passed on to the server that they name. */
export interface PassOn {
  /** Whether connections for this name are. */
  passes(name: string): boolean | Promise<boolean>;
  /** The port of the server. */
  readonly port: number;
  /** What goes around the connection to it. */
  readonly layer?: Layer;
}

/** What a listener does with names. */
export interface ByName {
  readonly passOn?: PassOn;
  /** What terminates TLS for a name, or for none; without it, what is not passed on is refused. */
  readonly terminator?: (name: string | undefined) => Handler | Promise<Handler>;
}

/** Looks at the ClientHello, passes the connection on or has it terminated. */
export function tlsByName({ passOn, terminator }: ByName): Handler {
  return {
    async handle(conn, session, next) {
      const hello = await readClientHello(conn, session);
      const { serverName, alpn } = hello;
      const { alpn: [protocol] } = hello;
      // What was offered is what will be spoken only where there is no choice.
      session.client = { ...session.client, serverName, alpn: alpn.length === 1 ? protocol : undefined };
      if (passOn !== undefined && serverName !== undefined && await passOn.passes(serverName)) {
        await session.tunnel(conn, "sni", passing({ hostname: serverName, port: passOn.port }, passOn.layer));
      } else if (terminator !== undefined) {
        await (await terminator(serverName)).handle(conn, session, next);
      } else {
        const which = serverName === undefined
          ? "the client names no server"
          : `not passed on: ${serverName}`;
        throw await refuse(conn, ALERT.unrecognizedName, which, "denied");
      }
    },
  };
}

function passing(target: Endpoint, layer?: Layer) {
  return {
    target,
    layer,
    accepted: () => new Uint8Array(0),
    refused: ({ code }: ProxyError) => alert(refusals[code]),
  };
}

async function readClientHello(conn: BufferedConn, session: Session): Promise<ClientHello> {
  const reader = new ClientHelloReader(Math.min(maxClientHello, session.maxBytes));
  const wanted = { what: "the ClientHello of a TLS handshake", stage: "tls" } as const;
  try {
    return await peek(conn, session.handshake, wanted, (head) => reader.read(head));
  } catch (error) {
    if (!(error instanceof ClientHelloError)) throw error;
    throw await refuse(conn, ALERT.decodeError, error.message, "tls");
  }
}

/** Says it in an alert, and returns what to throw. */
async function refuse(conn: BufferedConn, description: number, message: string, code: ErrorCode) {
  await conn.write(alert(description));
  return new ProxyError(message, { code, side: "client", stage: "tls" });
}

/** Alert descriptions (RFC 8446 section 6.2). */
const ALERT = { accessDenied: 49, decodeError: 50, internalError: 80, unrecognizedName: 112 } as const;

/** What a client sees when its server can't be reached: TLS has few words for it. */
const refusals = {
  refused: ALERT.internalError,
  unreachable: ALERT.internalError,
  netUnreachable: ALERT.internalError,
  resolve: ALERT.unrecognizedName,
  timeout: ALERT.internalError,
  denied: ALERT.accessDenied,
  limit: ALERT.internalError,
  loop: ALERT.accessDenied,
  auth: ALERT.internalError,
  protocol: ALERT.internalError,
  tls: ALERT.internalError,
  unsupported: ALERT.internalError,
  address: ALERT.unrecognizedName,
  closed: ALERT.internalError,
  failed: ALERT.internalError,
} as const satisfies Record<ErrorCode, number>;

/** A fatal alert in a record of its own. */
function alert(description: number): Uint8Array {
  return Uint8Array.of(21, 3, 1, 0, 2, 2, description);
}

/**
 * Whether a pattern is for a name: the same name, or `*.` and what comes behind it. `*` stands for one label in
 * certificates, and for any number of them in a configuration.
 */
export function nameMatches(pattern: string, name: string, labels: "one" | "any"): boolean {
  if (!pattern.startsWith("*.")) return pattern === name;
  const start = name.slice(0, -pattern.length + 1);
  return name.endsWith(pattern.slice(1)) && start !== "" && (labels === "any" || !start.includes("."));
}
