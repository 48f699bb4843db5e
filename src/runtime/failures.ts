/**
 * What the operating system's errors mean.
 *
 * @module
 */
import { formatEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { type ErrorCode, ProxyError, type Side, type Stage } from "../core/errors.ts";

const CODES: Record<string, readonly [ErrorCode, string]> = {
  ECONNREFUSED: ["refused", "connection refused"],
  ENETUNREACH: ["netUnreachable", "network unreachable"],
  ENETDOWN: ["netUnreachable", "network is down"],
  EHOSTUNREACH: ["unreachable", "host unreachable"],
  EHOSTDOWN: ["unreachable", "host is down"],
  EADDRNOTAVAIL: ["unreachable", "no local address can reach it"],
  EINVAL: ["unreachable", "not an address that can be connected to"],
  ETIMEDOUT: ["timeout", "connection timed out"],
  EACCES: ["denied", "permission denied"],
  EPERM: ["denied", "operation not permitted"],
  EAFNOSUPPORT: ["address", "address family not supported"],
  EMFILE: ["limit", "too many open files"],
  ENFILE: ["limit", "too many open files in the system"],
  ECONNRESET: ["closed", "connection reset"],
  EPIPE: ["closed", "connection closed by the peer"],
};

/** An error of a connect to `address`. */
export function connectFailure(error: unknown, address: Endpoint): ProxyError {
  const { code = "", message } = error as { code?: string; message: string };
  const [kind, why] = CODES[code] ?? ["failed", message];
  return new ProxyError(`${why}: ${formatEndpoint(address)}`, upstream(kind, "connect", error));
}

const LISTENING: Record<string, string> = {
  EADDRINUSE: "the port is in use",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EMFILE: "too many open files",
  ENFILE: "too many open files in the system",
};

/** An error of a listen: only why, for the caller says where. */
export function listenFailure(error: unknown): ProxyError {
  const { code = "", message } = error as { code?: string; message: string };
  return new ProxyError(LISTENING[code] ?? message, {
    code: "failed",
    side: "local",
    stage: "connect",
    cause: error,
  });
}

/** An error of a lookup. */
export function lookupFailure(error: unknown, hostname: string): ProxyError {
  const { code = "", message } = error as { code?: string; message: string };
  const why = code === "ENOTFOUND" || code === "ENODATA" || code === "EAI_NONAME"
    ? "name not found"
    : code === "EAI_AGAIN"
    ? "the resolver does not answer"
    : code || message;
  return new ProxyError(`${why}: ${hostname}`, upstream("resolve", "resolve", error));
}

function upstream(code: ErrorCode, stage: Stage, cause: unknown): {
  code: ErrorCode;
  side: Side;
  stage: Stage;
  cause: unknown;
} {
  return { code, side: "upstream", stage, cause };
}
