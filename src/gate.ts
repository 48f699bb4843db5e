/**
 * The one gate for all protocols: who may use a listener.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Gate } from "./core/serve.ts";

/** A user of a listener. */
export interface User {
  readonly username: string;
  readonly password: string;
}

/** The gate of a listener with these users; `null`, which lets everybody in, without any. */
export function makeGate(users: readonly User[] | undefined): Gate {
  if (users === undefined || users.length === 0) return null;
  const digests = new Map(users.map(({ username, password }) => [username, digest(password)]));
  const nobody = digest("");
  // Hashes of equal length are compared, and for an unknown user too: the time taken says nothing.
  return (username, password) => {
    const expected = digests.get(username);
    const same = timingSafeEqual(digest(password), expected ?? nobody);
    return same && expected !== undefined;
  };
}

function digest(password: string): Uint8Array {
  return createHash("sha256").update(password).digest();
}
