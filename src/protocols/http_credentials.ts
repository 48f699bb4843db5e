/**
 * Whom a request comes from: Basic credentials (RFC 7617) in Proxy-Authorization, held against a listener's gate.
 *
 * @module
 */
import { type Field, fieldValues } from "../core/http_head.ts";
import type { Gate } from "../core/serve.ts";

/** Who passed the gate, or why nobody did; `who` is for the log alone. */
export type Admission =
  | { readonly admitted: true; readonly user?: string }
  | { readonly admitted: false; readonly why: string; readonly who: string };

/** Asks the gate about the credentials of a request; it may take its time. */
export function admission(gate: Gate, fields: readonly Field[]): Admission | Promise<Admission> {
  if (gate === null) return { admitted: true };
  const [value = "", ...others] = fieldValues(fields, "proxy-authorization");
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(value)?.[1];
  const credentials = others.length > 0 || encoded === undefined ? undefined : decodeBasic(encoded);
  if (credentials === undefined) {
    return { admitted: false, why: value === "" ? "credentials are missing" : "wrong credentials", who: "" };
  }
  const { username, password } = credentials;
  const admit = (passed: boolean): Admission =>
    passed
      ? { admitted: true, user: username }
      : { admitted: false, why: "wrong credentials", who: ` for user ${JSON.stringify(username)}` };
  const passed = gate(username, password);
  return typeof passed === "boolean" ? admit(passed) : passed.then(admit);
}

/** The password begins behind the first colon, and may hold more of them. */
function decodeBasic(encoded: string): { username: string; password: string } | undefined {
  try {
    const raw = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
    const colon = text.indexOf(":");
    return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) };
  } catch {
    return undefined;
  }
}
