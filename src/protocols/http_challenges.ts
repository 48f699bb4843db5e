/**
 * How an HTTP proxy asks who is there, and how it is answered (RFC 9110 section 11).
 *
 * @module
 */
import { ProxyError } from "../core/errors.ts";
import type { Gate } from "../core/serve.ts";

/** One challenge of a Proxy-Authenticate field. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  readonly parameters: string;
}

/** Answers a proxy's challenges over one connection. */
export interface Authenticator {
  /** What to send before any challenge, if anything. */
  first(): string | undefined;
  /** The value of Proxy-Authorization that answers one of the challenges, or `undefined` to give up. */
  answer(challenges: readonly Challenge[]): string | undefined;
}

/**
 * Basic (RFC 7617), sent at once: there is nothing to wait for.
 *
 * @throws ProxyError for a user name with a colon: the server would see the rest of it as the password's
 */
export function basic(username: string, password: string): Authenticator {
  if (username.includes(":")) {
    throw new ProxyError("HTTP Basic can't carry a user name that holds a colon", {
      code: "auth",
      side: "local",
      stage: "auth",
    });
  }
  const encoded = btoa(String.fromCharCode(...new TextEncoder().encode(`${username}:${password}`)));
  return { first: () => `Basic ${encoded}`, answer: () => undefined };
}

/** Has nothing to say. */
export const anonymous: Authenticator = { first: () => undefined, answer: () => undefined };

/** The challenges in the value of a Proxy-Authenticate field. */
export function parseChallenges(value: string): Challenge[] {
  const starts = [
    ...masked(value).matchAll(/(?:^|,)\s*([!#$%&'*+\-.^_`|~\w]+)(?=\s+[^\s=,]|\s*(?:,|$))(?!\s*=)/g),
  ];
  return starts.map((match, index) => ({
    scheme: match[1].toLowerCase(),
    parameters: value.slice(match.index + match[0].length, starts[index + 1]?.index).trim(),
  }));
}

/** What a gate says to a request's Proxy-Authorization fields. */
export interface Admission {
  /** Who passed. */
  readonly user?: string;
  /** Why nobody did, for the client; and who tried, for the log alone. */
  readonly why: string;
  readonly who: string;
}

/** Shows Basic credentials to the gate. */
export function admit(gate: NonNullable<Gate>, [value = "", ...others]: readonly string[]): Admission {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(value)?.[1];
  const credentials = others.length > 0 || encoded === undefined ? undefined : decodeBasic(encoded);
  const why = value === "" ? "credentials are missing" : "wrong credentials";
  const who = credentials === undefined ? "" : ` for user ${JSON.stringify(credentials.username)}`;
  const passed = credentials !== undefined && gate(credentials.username, credentials.password);
  return { user: passed ? credentials.username : undefined, why, who };
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

/** The same text with its quoted strings blotted out: what they hold is no syntax. */
export function masked(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"/g, (quoted) => '"'.repeat(quoted.length));
}
