/**
 * How an HTTP proxy asks who is there, and how it is answered (RFC 9110 section 11).
 *
 * @module
 */
import { ProxyError } from "../core/errors.ts";

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

/** The same text with its quoted strings blotted out: what they hold is no syntax. */
export function masked(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"/g, (quoted) => '"'.repeat(quoted.length));
}
