/**
 * The operand TARGET of a command.
 *
 * @module
 */
import { AddressError, parseEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { UsageError } from "./arguments.ts";

/** @throws UsageError, which never shows what may be a password */
export function parseTarget(text: string): Endpoint {
  if (text.includes("@")) throw new UsageError("TARGET is host:port, without a user name");
  // What stands where a port should may be a password.
  if (/:[^:\]]*[^0-9:\]][^:\]]*$/.test(text) && !text.startsWith("[")) {
    throw new UsageError("TARGET is host:port; what stands behind the colon is no port");
  }
  try {
    return parseEndpoint(text);
  } catch (error) {
    if (error instanceof AddressError) throw new UsageError(`TARGET: ${error.message}`);
    throw error;
  }
}
