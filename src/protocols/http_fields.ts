/**
 * Which fields of a message go on, and which are for one connection alone (RFC 9110 sections 7.6 and 11.7).
 *
 * The order matters: first goes what Connection nominates and what belongs to this hop, then what we say ourselves is
 * added, so that no client can have our own fields stripped from its request (Apache CVE-2022-31813).
 *
 * @module
 */
import type { Endpoint } from "../core/conn.ts";
import { type Field, listed } from "../core/http_head.ts";

/** For one connection; `proxy` is no field at all, but what CGI makes of it is a setting (httpoxy). */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "http2-settings",
  "te",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "proxy",
]);

/** What a trailer must not say: framing, routing, credentials and what decides how the content is taken. */
const notTrailing = new Set([
  ...hopByHop,
  "host",
  "authorization",
  "www-authenticate",
  "cookie",
  "set-cookie",
  "cache-control",
  "expect",
  "max-forwards",
  "range",
  "age",
  "date",
  "expires",
  "location",
  "retry-after",
  "vary",
  "warning",
  "trailer",
  "via",
  "forwarded",
  "content-encoding",
  "content-type",
  "content-range",
]);

/** The fields that are for whoever comes next; framing, Host and the like are added by who sends the message. */
export function endToEnd(fields: readonly Field[]): Field[] {
  const nominated = new Set(listed(fields, "connection"));
  return fields.filter(([name]) => !hopByHop.has(name) && !nominated.has(name));
}

/** The trailers that are for whoever comes next. */
export function trailing(fields: readonly Field[]): Field[] {
  return fields.filter(([name]) => !notTrailing.has(name));
}

/** Whether the sender ends its connection behind this message. */
export function closes(
  { minor, fields }: { readonly minor: number; readonly fields: readonly Field[] },
): boolean {
  return minor === 0 || listed(fields, "connection").includes("close") ||
    listed(fields, "proxy-connection").includes("close");
}

/** Whether a message asks for, or agrees to, the WebSocket protocol. */
export function upgradesToWebSocket(fields: readonly Field[]): boolean {
  const protocols = listed(fields, "upgrade");
  return listed(fields, "connection").includes("upgrade") && protocols.length === 1 &&
    protocols[0] === "websocket";
}

/** Our name in Via: random, so that a request which carries it has been here before. */
const pseudonym = `hopline-${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;

/** Our entry in Via, for a message that came in this version. */
export function via(version: string): Field {
  return ["Via", `${version} ${pseudonym}`];
}

/** Whether a message has been here before. */
export function beenHere(fields: readonly Field[]): boolean {
  return listed(fields, "via").some((entry) => entry.split(/[ \t]+/)[1] === pseudonym);
}

/** RFC 7239: whom the request is forwarded for. */
export function forwarded(client: Endpoint | null): Field {
  if (client === null) return ["Forwarded", "for=unknown"];
  const { hostname } = client;
  return ["Forwarded", hostname.includes(":") ? `for="[${hostname}]"` : `for=${hostname}`];
}
