/**
 * A request that a client wants forwarded, read from its head: where it goes, and how it goes on.
 *
 * To a proxy, the target alone says where: Host is replaced from it, and a request in origin-form is never routed. To
 * a reverse proxy, the target or Host does.
 *
 * @module
 */
import { formatEndpoint, parseEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { type Framing, framingFields, requestFraming } from "../core/http_body.ts";
import { type Field, fieldValues, formatHead, HeadError, type RequestHead } from "../core/http_head.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { Forwarding } from "../core/dialer.ts";
import { beenHere, endToEnd, upgradesToWebSocket, via } from "./http_fields.ts";

/** One request of a client; its framing is sound. */
export interface Request {
  /** As it is in HTTP/1, whatever it came in. */
  readonly head: RequestHead;
  /** The version that it came in. */
  readonly version: string;
  readonly framing: Framing;
}

/** A request of HTTP/1. @throws HeadError */
export function parseRequest(head: RequestHead): Request {
  return { head, version: `1.${head.minor}`, framing: requestFraming(head) };
}

/** Where a request goes. */
export interface Destination {
  readonly target: Endpoint;
  /** What Host says of it. */
  readonly host: string;
  /** The target in origin-form, or `*`. */
  readonly path: string;
  readonly upgrade: boolean;
}

/** It can't be forwarded; the client is told so. */
export class Refusal extends HeadError {
  constructor(status: number, message: string, readonly code: ErrorCode, readonly fatal = false) {
    super(message, status);
  }
}

/** Where a proxy forwards a request to. @throws Refusal */
export function destinationOf(request: Request): Destination {
  const { method, target } = request.head;
  const match = /^http:\/\/(?:[^/?#@]*@)?([^/?#@]*)((?:[/?][^#]*)?)(?:#.*)?$/i.exec(target);
  if (match === null) throw otherForm(method, target);
  const [, authority, rest] = match;
  const endpoint = endpointOf(authority, "the request's target");
  return destination(request, endpoint, authorityOf(endpoint), rest);
}

/**
 * Where a reverse proxy forwards a request to: to the site that its target names, or else Host, which goes on as it came.
 *
 * @throws Refusal
 */
export function siteOf(request: Request): Destination {
  const { version, head: { method, target, minor, fields } } = request;
  const [host] = fieldValues(fields, "host");
  if (host === undefined && minor === 1 && version !== "2") {
    throw new Refusal(400, "a request of HTTP/1.1 without Host", "protocol");
  }
  const [, authority, rest] = /^https?:\/\/([^/?#]*)((?:[/?][^#]*)?)(?:#.*)?$/i.exec(target) ?? [];
  if (authority !== undefined) {
    return destination(request, endpointOf(authority, "the request's target"), authority, rest);
  }
  const [path] = /^\/[^#]*/.exec(target) ?? (method === "OPTIONS" && target === "*" ? ["*"] : []);
  if (path === undefined) {
    throw new Refusal(400, "the request's target is neither a path nor a URL", "address");
  }
  if (host === undefined) throw new Refusal(400, "neither the target nor Host names a site", "address");
  return destination(request, endpointOf(host, "Host"), host, path);
}

function endpointOf(authority: string, what: string): Endpoint {
  // What a server makes of other characters is not known, and could be another site.
  if (!ascii.test(authority)) throw new Refusal(400, `${what} is not in ASCII`, "address");
  try {
    // An empty port is the default one (RFC 3986 section 6.2.3); behind a port, a colon has no place.
    return parseEndpoint(authority.replace(/^([^:]*|\[.*\]):$/, "$1"), { defaultPort: 80 });
  } catch (error) {
    throw new Refusal(400, `${what}: ${(error as Error).message}`, "address");
  }
}

const ascii = /^[\x21-\x7e]*$/;

function authorityOf(target: Endpoint): string {
  return target.port === 80 ? formatEndpoint(target).replace(/:80$/, "") : formatEndpoint(target);
}

function destination(
  { head: { method, minor, fields }, framing }: Request,
  target: Endpoint,
  host: string,
  rest: string,
): Destination {
  if (beenHere(fields)) {
    throw new Refusal(
      508,
      "the request has been here before: the chain leads back to its own listener",
      "loop",
    );
  }
  const whole = rest === "*" || rest === "" && method === "OPTIONS";
  const path = whole ? "*" : rest.startsWith("/") ? rest : `/${rest}`;
  const upgrade = method === "GET" && minor === 1 && framing.kind === "none" && upgradesToWebSocket(fields);
  return { target, host, path, upgrade };
}

function otherForm(method: string, target: string): Refusal {
  if (target.startsWith("/")) {
    const why = "this is a proxy, not a web server: set it as your program's proxy";
    return new Refusal(400, why, "protocol", true);
  }
  if (/^https:\/\//i.test(target)) {
    return new Refusal(501, "https:// goes through a proxy by CONNECT, not in absolute form", "unsupported");
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(target)?.[1];
  if (scheme?.toLowerCase() === "http") {
    return new Refusal(400, "the target is not an http:// URL", "address");
  }
  if (scheme !== undefined) {
    return new Refusal(501, `${scheme}:// is not forwarded here, only http://`, "unsupported");
  }
  return new Refusal(
    405,
    `method ${method} of this target is not supported here; use CONNECT`,
    "unsupported",
    true,
  );
}

/**
 * How many more times the request may be forwarded; only OPTIONS and TRACE count (RFC 9110 section 7.6.2).
 *
 * @throws Refusal
 */
export function maxForwards({ method, fields }: RequestHead): number | undefined {
  if (method !== "OPTIONS" && method !== "TRACE") return undefined;
  const values = fieldValues(fields, "max-forwards");
  if (values.length === 0) return undefined;
  if (values.length > 1 || !/^[0-9]{1,9}$/.test(values[0])) {
    throw new Refusal(400, "Max-Forwards is not a number", "protocol");
  }
  return Number(values[0]);
}

/**
 * The head as it goes on, written anew: to the target, or to a proxy that takes it in absolute form.
 *
 * @throws HeadError
 */
export function outgoingHead(
  { head, version, framing }: Request,
  { target, host, path, upgrade }: Destination,
  added: readonly Field[],
  proxy?: Forwarding,
): Uint8Array {
  const { method, minor } = head;
  const left = maxForwards(head);
  const fields: Field[] = [["Host", host]];
  for (const field of endToEnd(head.fields)) {
    if (field[0] === "host" || field[0] === "expect" && minor === 0) continue;
    if (field[0] === "trailer" && framing.kind !== "chunked") continue;
    fields.push(
      field[0] === "max-forwards" && left !== undefined ? ["max-forwards", String(left - 1)] : field,
    );
  }
  fields.push(...framingFields(framing), via(version), ...added);
  if (upgrade) fields.push(["Connection", "Upgrade"], ["Upgrade", "websocket"]);
  if (proxy?.authorization !== undefined) fields.push(["Proxy-Authorization", proxy.authorization]);
  const form = proxy === undefined ? path : `http://${authorityOf(target)}${path === "*" ? "" : path}`;
  return formatHead(`${method} ${form} HTTP/1.1`, fields);
}
