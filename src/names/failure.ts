/**
 * What lookups fail with.
 *
 * @module
 */
import { ProxyError } from "../core/errors.ts";

/** There is no such name, or its name server can't be understood. */
export function failure(message: string): ProxyError {
  return new ProxyError(message, { code: "resolve", side: "upstream", stage: "resolve" });
}
