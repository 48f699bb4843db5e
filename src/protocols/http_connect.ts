/**
 * HTTP CONNECT (RFC 9110 section 9.3.6) over HTTP/1, both sides.
 *
 * Goals: exactly `host:port` is a target; after any refusal, answer once and close, parsing nothing further (RFC
 * 9931); a response other than 2xx never becomes a tunnel. A 1.1 request without Host is served, as squid, tinyproxy
 * and ncat do: the target is in the request line alone.
 *
 * @module
 */
import { checkTarget, formatEndpoint, parseEndpoint } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import { type ErrorCode, ProxyError } from "../core/errors.ts";
import { type Find, type Handshake, read, settled, TooLong, until, write } from "../core/handshake.ts";
import {
  type Field,
  fieldValues,
  formatHead,
  headEnd,
  HeadError,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  responseEnd,
  type ResponseHead,
} from "../core/http_head.ts";
import type { Gate, TunnelRequest } from "../core/serve.ts";
import { explain, explainFailure, inHttp1, meaningOf, type Wrong, wrong } from "./http_answers.ts";
import { anonymous, type Authenticator, type Challenge, parseChallenges } from "./http_challenges.ts";
import { admission } from "./http_credentials.ts";

export { type Authenticator, basic, type Challenge } from "./http_challenges.ts";

const maxHead = 64 * 1024;
const maxBody = 64 * 1024;

// --- the client's side -----------------------------------------------------------------------------------------

/** Asks an HTTP proxy for a tunnel to `target`; names travel unresolved. */
export function* connect(target: Endpoint, authenticator: Authenticator = anonymous): Handshake<void> {
  const authority = formatEndpoint(checkTarget(target));
  let credentials = authenticator.first();
  for (;;) {
    yield* write(request(authority, credentials));
    const response = yield* readFinalHead();
    if (response.status >= 200 && response.status < 300) return;
    if (response.status !== 407) throw refusal(response);
    const challenges = fieldValues(response.fields, "proxy-authenticate").flatMap(parseChallenges);
    const asked = credentials !== undefined;
    credentials = authenticator.answer(challenges);
    if (credentials === undefined) throw unanswered(challenges, asked);
    yield* skipBody(response);
  }
}

function request(authority: string, credentials: string | undefined): Uint8Array {
  const fields: Field[] = [["Host", authority]];
  if (credentials !== undefined) fields.push(["Proxy-Authorization", credentials]);
  try {
    return formatHead(`CONNECT ${authority} HTTP/1.1`, fields);
  } catch (error) {
    throw new ProxyError((error as Error).message, { code: "auth", side: "local", stage: "auth" });
  }
}

function* readFinalHead(): Handshake<ResponseHead> {
  for (let informational = 0; informational < 16; informational++) {
    const head = yield* until(responseEnd, maxHead, "the answer to CONNECT");
    try {
      const response = parseResponseHead(head);
      if (response.status >= 200 || response.status === 101) return response;
    } catch (error) {
      throw upstream("protocol", (error as Error).message);
    }
  }
  throw upstream("protocol", "too many 1xx responses");
}

/** Reads the body of a 407 away, so that the next request can go over the same connection. */
function* skipBody({ minor, fields }: ResponseHead): Handshake<void> {
  const connection = fieldValues(fields, "connection").concat(fieldValues(fields, "proxy-connection"));
  const closing = connection.some((value) => /\bclose\b/i.test(value));
  const kept = minor === 1 || connection.some((value) => /\bkeep-alive\b/i.test(value));
  const [length, ...others] = fieldValues(fields, "content-length");
  const encoded = fieldValues(fields, "transfer-encoding").length > 0;
  if (closing || !kept || encoded || others.length > 0 || !/^[0-9]{1,6}$/.test(length ?? "")) {
    throw upstream("auth", "the proxy wants another round of authentication but ends the connection", "auth");
  }
  if (Number(length) > maxBody) {
    throw upstream("protocol", `the body of the 407 is ${length} bytes long`, "auth");
  }
  if (Number(length) > 0) yield* read(Number(length), "the body of the 407", "auth");
}

/** A 407 that is not answered again; `asked` says whether credentials were sent. */
export function unanswered(challenges: readonly Challenge[], asked: boolean): ProxyError {
  const schemes = challenges.map(({ scheme }) => scheme).join(", ") || "nothing it names";
  const what = asked ? "refused the credentials" : "wants credentials and none are configured";
  return upstream("auth", `the proxy ${what} (407; it accepts ${schemes})`, "auth");
}

/** A status other than 2xx and 407; HTTP/2 has no reason phrase. */
export function refusal(response: Pick<ResponseHead, "status" | "reason" | "fields">): ProxyError {
  const { status, reason } = response;
  const words = reason === "" ? "" : ` ${reason.slice(0, 100)}`;
  const { code, side } = meaningOf(response);
  // tinyproxy says 401, not 407, when the password is wrong.
  const stage = code === "auth" ? "auth" : "request";
  return new ProxyError(`the proxy answered ${status}${words}`, { code, side, stage });
}

function upstream(code: ErrorCode, message: string, stage: "auth" | "request" = "request"): ProxyError {
  return new ProxyError(message, { code, side: "upstream", stage });
}

// --- the server's side -----------------------------------------------------------------------------------------

const established = formatHead("HTTP/1.1 200 Connection established", []);

/** Reads the head of the next request; one that is malformed is answered and refused. */
export function* readRequest(): Handshake<RequestHead> {
  let line = false;
  const end: Find = (head, from) => {
    line ||= head.indexOf(10, emptyLines(head)) >= 0;
    return headEnd(head, from);
  };
  try {
    for (;;) {
      const head = yield* until(end, maxHead, "the request's head");
      const rest = head.subarray(emptyLines(head));
      if (rest.length > 0) return parseRequestHead(rest);
    }
  } catch (error) {
    if (error instanceof TooLong) {
      yield* write(inHttp1(explain(line ? 431 : 414, "http_request_error", error.message)));
    }
    if (!(error instanceof HeadError)) throw error;
    throw yield* refuse(wrong(error.status, error.message, "protocol"));
  }
}

/** How many bytes of CRLF come first: a client may send empty lines before its request (RFC 9112 section 2.2). */
export function emptyLines(head: Uint8Array, most = head.length): number {
  let at = 0;
  while (at < most && head[at] === 13 && head[at + 1] === 10) at += 2;
  return at;
}

/** The tunnel that a CONNECT asks for; whatever can't be served is answered and refused. */
export function* accept({ target, fields }: RequestHead, gate: Gate): Handshake<TunnelRequest> {
  let endpoint: Endpoint;
  try {
    endpoint = parseEndpoint(target);
  } catch (error) {
    throw yield* refuse(wrong(400, `CONNECT wants host:port: ${(error as Error).message}`, "address"));
  }
  if (fields.some(([name]) => name === "content-length" || name === "transfer-encoding")) {
    throw yield* refuse(wrong(400, "CONNECT has no body", "protocol"));
  }
  const admitted = yield* settled(admission(gate, fields));
  if (!admitted.admitted) throw yield* refuse(wrong(407, admitted.why, "auth", admitted.who));
  return {
    target: endpoint,
    user: admitted.user,
    accepted: () => established,
    refused: (error) => inHttp1(explainFailure(error)),
  };
}

function* refuse({ error, reply }: Wrong): Handshake<ProxyError> {
  yield* write(inHttp1(reply));
  return error;
}
