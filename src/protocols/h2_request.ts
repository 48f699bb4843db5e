/**
 * What an HTTP/2 request asks for, from its fields (RFC 9113 sections 8.2, 8.3 and 8.5).
 *
 * @module
 */
import { type Field, fieldValues } from "../core/http_head.ts";

/** A well-formed request. */
export interface Request {
  readonly method: string;
  /** `host:port` of a CONNECT; else the URL, as HTTP/1 has it in absolute-form. */
  readonly target: string;
  /** The other fields. */
  readonly fields: readonly Field[];
}

const fieldName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// deno-lint-ignore no-control-regex
const badValue = /[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/;
const badValueWords = "a field value with a character that has no place there";
/** What only a connection of HTTP/1 could mean (section 8.2.2). */
const ofHttp1 = ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"];

/** The request, or what is malformed about it. */
export function parseRequest(fields: readonly Field[]): Request | string {
  const pseudo = new Map<string, string>();
  const others: Field[] = [];
  for (const [name, value] of fields) {
    if (name.startsWith(":")) {
      if (badValue.test(value)) return badValueWords;
      if (others.length > 0) return "a pseudo-header field behind others";
      if (pseudo.has(name)) return `${name} twice`;
      pseudo.set(name, value);
    } else {
      const wrong = malformed([name, value]);
      if (wrong !== undefined) return wrong;
      others.push([name, value]);
    }
  }
  return requestOf(pseudo, others);
}

/** What is malformed about trailers; nothing, if they are sound (section 8.1). */
export function malformedTrailers(fields: readonly Field[]): string | undefined {
  for (const field of fields) {
    const wrong = malformed(field);
    if (wrong !== undefined) return wrong;
  }
}

function malformed([name, value]: Field): string | undefined {
  if (badValue.test(value)) return badValueWords;
  if (!fieldName.test(name)) return "a field name that is not one in lower case";
  if (ofHttp1.includes(name) || name === "te" && value !== "trailers") return `${name}, which is HTTP/1's`;
}

const known = [":method", ":authority", ":scheme", ":path"];

function requestOf(pseudo: ReadonlyMap<string, string>, fields: readonly Field[]): Request | string {
  const stranger = [...pseudo.keys()].find((name) => !known.includes(name));
  if (stranger !== undefined) return "a pseudo-header field that requests do not have";
  const [method, authority, scheme, path] = known.map((name) => pseudo.get(name));
  if (!method || !token.test(method)) return "no :method";
  if (method === "CONNECT") {
    if (scheme !== undefined || path !== undefined) return "CONNECT with :scheme or :path";
    if (!authority) return "CONNECT without :authority";
    return { method, target: authority, fields };
  }
  if (!scheme || !path || !schemeName.test(scheme)) return "no :scheme or :path";
  return plainRequest(method, scheme, authority, path, fields);
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const schemeName = /^[A-Za-z][A-Za-z0-9+.-]*$/;
/** Visible ASCII without a fragment: whatever else stood there, it could become part of another line. */
const pathText = /^\/[\x21\x22\x24-\x7e]*$/;
const authorityText = /^[\x21\x22\x24-\x2e\x30-\x3e\x41-\x7e]*$/;

/** A request with :scheme and :path (section 8.3.1), its target put together from them. */
function plainRequest(
  method: string,
  scheme: string,
  authority: string | undefined,
  path: string,
  fields: readonly Field[],
): Request | string {
  const [host, ...others] = fieldValues(fields, "host");
  if (others.length > 0) return "host twice";
  if (host !== undefined && authority !== undefined && host.toLowerCase() !== authority.toLowerCase()) {
    return "host and :authority that contradict";
  }
  const place = authority ?? host ?? "";
  if (!authorityText.test(place)) return "an :authority that is none";
  const joined = joinedCookies(fields);
  if (path === "*" && method === "OPTIONS") {
    return { method, target: place === "" ? "*" : `${scheme}://${place}`, fields: joined };
  }
  if (!pathText.test(path)) return "a :path that is none";
  if (place === "") return "neither :authority nor host";
  return { method, target: `${scheme}://${place}${path}`, fields: joined };
}

/** Cookies may come in crumbs, which only HTTP/2 knows (section 8.2.3). */
function joinedCookies(fields: readonly Field[]): readonly Field[] {
  const crumbs = fieldValues(fields, "cookie");
  if (crumbs.length < 2) return fields;
  return [...fields.filter(([name]) => name !== "cookie"), ["cookie", crumbs.join("; ")]];
}
