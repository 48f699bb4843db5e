/**
 * What an HTTP/2 request asks for, from its fields (RFC 9113 sections 8.2, 8.3 and 8.5).
 *
 * @module
 */
import type { Field } from "../core/http_head.ts";

/** A well-formed request. */
export interface Request {
  /** CONNECT, or anything else. */
  readonly kind: "connect" | "forward";
  readonly method: string;
  readonly authority: string;
  /** Absent from CONNECT. */
  readonly scheme?: string;
  readonly path?: string;
  /** The other fields. */
  readonly fields: readonly Field[];
}

const fieldName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// deno-lint-ignore no-control-regex
const badValue = /[\x00\r\n]|^[ \t]|[ \t]$/;
/** What only a connection of HTTP/1 could mean (section 8.2.2). */
const ofHttp1 = ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"];

/** The request, or what is malformed about it. */
export function parseRequest(fields: readonly Field[]): Request | string {
  const pseudo = new Map<string, string>();
  const others: Field[] = [];
  for (const [name, value] of fields) {
    if (badValue.test(value)) return "a field value with a character that has no place there";
    if (name.startsWith(":")) {
      if (others.length > 0) return "a pseudo-header field behind others";
      if (pseudo.has(name)) return `${name} twice`;
      pseudo.set(name, value);
    } else {
      if (!fieldName.test(name)) return "a field name that is not one in lower case";
      if (ofHttp1.includes(name) || name === "te" && value !== "trailers") {
        return `${name}, which is HTTP/1's`;
      }
      others.push([name, value]);
    }
  }
  return requestOf(pseudo, others);
}

const known = [":method", ":authority", ":scheme", ":path"];

function requestOf(pseudo: ReadonlyMap<string, string>, fields: readonly Field[]): Request | string {
  const stranger = [...pseudo.keys()].find((name) => !known.includes(name));
  if (stranger !== undefined) return "a pseudo-header field that requests do not have";
  const [method, authority, scheme, path] = known.map((name) => pseudo.get(name));
  if (!method) return "no :method";
  if (method === "CONNECT") {
    if (scheme !== undefined || path !== undefined) return "CONNECT with :scheme or :path";
    if (!authority) return "CONNECT without :authority";
    return { kind: "connect", method, authority, fields };
  }
  if (!scheme || !path) return "no :scheme or :path";
  return { kind: "forward", method, authority: authority ?? "", scheme, path, fields };
}
