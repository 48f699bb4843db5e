/**
 * Failures as HTTP answers, both ways: what our clients see, and what a proxy's answer means (RFC 9110, RFC 9209).
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import { type ErrorCode, ProxyError } from "../core/errors.ts";
import { type Field, fieldValues, formatHead, type ResponseHead } from "../core/http_head.ts";
import { masked } from "./http_challenges.ts";

/** RFC 9110 status, and RFC 9209 error type, for each way a tunnel can fail. */
const ANSWER = {
  refused: [502, "connection_refused"],
  unreachable: [502, "destination_ip_unroutable"],
  netUnreachable: [502, "destination_ip_unroutable"],
  resolve: [502, "dns_error"],
  timeout: [504, "connection_timeout"],
  denied: [403, "http_request_denied"],
  limit: [503, "connection_limit_reached"],
  loop: [508, "proxy_loop_detected"],
  auth: [502, "proxy_configuration_error"],
  protocol: [502, "http_protocol_error"],
  tls: [502, "tls_protocol_error"],
  unsupported: [501, "http_request_error"],
  address: [400, "http_request_error"],
  closed: [502, "connection_terminated"],
  failed: [502, "destination_unavailable"],
} as const satisfies Record<ErrorCode, readonly [number, string]>;

const REASON: Record<number, string> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  405: "Method Not Allowed",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  414: "URI Too Long",
  421: "Misdirected Request",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
  508: "Loop Detected",
};

const STATUS_MEANING: Record<number, ErrorCode> = {
  400: "protocol",
  401: "auth",
  403: "denied",
  405: "unsupported",
  429: "limit",
  501: "unsupported",
  503: "unreachable",
  504: "timeout",
  508: "loop",
};

const TYPE_MEANING: Record<string, ErrorCode> = {
  connection_refused: "refused",
  destination_ip_unroutable: "unreachable",
  dns_error: "resolve",
  dns_timeout: "resolve",
  connection_timeout: "timeout",
  http_request_denied: "denied",
  destination_ip_prohibited: "denied",
  connection_limit_reached: "limit",
  proxy_loop_detected: "loop",
};

/** What only a proxy that works can tell of the target; a bare status may as well speak of the proxy. */
const ofTarget: readonly (ErrorCode | undefined)[] = ["refused", "unreachable", "resolve"];

/** What a status other than 2xx and 407 means, and of whom; RFC 9209's error type says more than the status. */
export function meaningOf(
  { status, fields }: Pick<ResponseHead, "status" | "fields">,
): { code: ErrorCode; side: "upstream" | "target" } {
  const types = fieldValues(fields, "proxy-status").flatMap((value) =>
    [...masked(value).matchAll(/;\s*error=([a-z_]+)/g)].map((match) => match[1])
  );
  const told = types.map((type) => TYPE_MEANING[type]).findLast((code) => code !== undefined);
  return {
    code: told ?? STATUS_MEANING[status] ?? (status >= 400 && status < 600 ? "failed" : "protocol"),
    side: ofTarget.includes(told) ? "target" : "upstream",
  };
}

/** The status that a failure is answered with. */
export function statusOf({ code, side }: ProxyError): number {
  if (side !== "client") return ANSWER[code][0];
  // Whatever else it did wrong, it has been named where it was found.
  return code === "timeout" ? 408 : 400;
}

/** A response in our own words, before it is written in any version of HTTP. */
export interface Reply {
  readonly status: number;
  /** Without those that describe the body, or say how the connection goes on. */
  readonly fields: readonly Field[];
  /** The value of Content-Type, where there is a body. */
  readonly type?: string;
  readonly body: Uint8Array;
}

/** The answer to a tunnel or request that failed: it names the hop, the stage and the cause. */
export function explainFailure(error: ProxyError): Reply {
  const { code, hop, label, stage, side, message } = error;
  const place = hop === undefined || hop === 0 ? stage : `hop ${hop}, ${label}, ${stage}`;
  const type = side === "client" ? "http_request_error" : ANSWER[code][1];
  return explain(statusOf(error), type, `${place}: ${message}`);
}

/** An error response that says `message` to a person, and `error` (RFC 9209) to a program. */
export function explain(status: number, error: string | undefined, message: string): Reply {
  const kind = error === undefined ? "" : `; error=${error}`;
  const fields: Field[] = [
    ["Proxy-Status", `hopline${kind}; details=${structuredString(message)}`],
  ];
  if (status === 407) fields.push(["Proxy-Authenticate", 'Basic realm="hopline", charset="UTF-8"']);
  if (status === 405) fields.push(["Allow", "CONNECT"]);
  return {
    status,
    fields,
    type: "text/plain; charset=utf-8",
    body: new TextEncoder().encode(`${message}\n`),
  };
}

/** What a client did wrong: for the log, and in the answer to it. */
export interface Wrong {
  readonly error: ProxyError;
  readonly reply: Reply;
}

/** Both tellings of what a client did wrong; `logged` goes behind the message in the log. */
export function wrong(status: number, message: string, code: ErrorCode, logged = ""): Wrong {
  const type = code === "auth" ? undefined : code === "loop" ? "proxy_loop_detected" : "http_request_error";
  const stage = code === "auth" ? "auth" : "request";
  return {
    error: new ProxyError(message + logged, { code, side: "client", stage }),
    reply: explain(status, type, message),
  };
}

/** The fields that describe a reply's body. */
export function bodyFields({ type, body }: Reply): Field[] {
  const length = ["Content-Length", String(body.length)] as const;
  return type === undefined ? [length] : [["Content-Type", type], length];
}

/** What CONNECT is told by a listener that is a web server to its clients. */
export function noTunnels(): Wrong {
  return wrong(501, "CONNECT is for proxies, and this is a web server", "unsupported");
}

/** How a reply ends in HTTP/1.1. */
export interface ReplyOptions {
  /** The connection is good for another request. */
  readonly keep?: boolean;
  /** It answers HEAD: what would be the body is left out. */
  readonly headOnly?: boolean;
}

/** A whole reply in HTTP/1.1; the connection ends behind it, unless it is to be kept. */
export function inHttp1(
  reply: Reply,
  { keep = false, headOnly = false }: ReplyOptions = {},
): Uint8Array {
  const { status, fields, body } = reply;
  const head = formatHead(`HTTP/1.1 ${status} ${REASON[status]}`, [
    ...bodyFields(reply),
    ...keep ? [] : [["Connection", "close"] as const],
    ...fields,
  ]);
  return headOnly ? head : concat(head, body);
}

/** An RFC 9651 string: printable ASCII, with `"` and `\` escaped. */
function structuredString(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&")}"`;
}
