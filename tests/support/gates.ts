/**
 * Gates and the errors that tunnels fail with, for tests of servers.
 *
 * @module
 */
import { type ErrorCode, ProxyError } from "../../src/core/errors.ts";
import type { Gate } from "../../src/core/serve.ts";

/** A gate for one user that remembers who knocked. */
export function gateFor(
  username: string,
  password: string,
): NonNullable<Gate> & { readonly knocks: string[][] } {
  const knocks: string[][] = [];
  const gate = (name: string, secret: string) => {
    knocks.push([name, secret]);
    return name === username && secret === password;
  };
  return Object.assign(gate, { knocks });
}

const all: Record<ErrorCode, true> = {
  refused: true,
  unreachable: true,
  netUnreachable: true,
  resolve: true,
  timeout: true,
  denied: true,
  limit: true,
  loop: true,
  auth: true,
  protocol: true,
  tls: true,
  unsupported: true,
  address: true,
  closed: true,
  failed: true,
};

/** Every code; a new one does not compile until it is added here. */
export const errorCodes = Object.keys(all) as ErrorCode[];

/** A tunnel's failure as a server gets to hear it. */
export function tunnelFailure(code: ErrorCode, message = "it failed"): ProxyError {
  return new ProxyError(message, { code, side: "upstream", stage: "connect" });
}
