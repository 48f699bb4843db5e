/**
 * The head of a response as it goes on to the client, written anew.
 *
 * @module
 */
import { type Framing, framingFields } from "../core/http_body.ts";
import { type Field, fieldValues, formatHead, type ResponseHead } from "../core/http_head.ts";
import { endToEnd, via } from "./http_fields.ts";

/** What decides how the client gets a response. */
export interface Delivery {
  /** The request's. */
  readonly method: string;
  /** The body goes out in chunks, whatever it came in. */
  readonly chunked: boolean;
  /** The client's connection is good for another request. */
  readonly keep: boolean;
}

/** @throws HeadError */
export function finalHead(response: ResponseHead, framing: Framing, delivery: Delivery): Uint8Array {
  const { method, chunked, keep } = delivery;
  const fields: Field[] = [via(response.minor)];
  fields.push(...chunked ? framingFields({ kind: "chunked" }) : length(response, framing, method));
  if (!keep) fields.push(["Connection", "close"]);
  return head(response, fields, chunked);
}

/** A response before the final one. @throws HeadError */
export function informationalHead(response: ResponseHead): Uint8Array {
  return head(response, [via(response.minor)]);
}

/** The 101 behind which there is no more HTTP. @throws HeadError */
export function upgradeHead(response: ResponseHead): Uint8Array {
  return head(response, [["Connection", "Upgrade"], ["Upgrade", "websocket"]]);
}

function head(
  { status, reason, fields }: ResponseHead,
  added: readonly Field[],
  trailers = false,
): Uint8Array {
  const kept = endToEnd(fields).filter(([name]) => trailers || name !== "trailer");
  return formatHead(`HTTP/1.1 ${status} ${reason}`, [...kept, ...added]);
}

/** The length that a response declares, even where no body follows; not with 204, which can have none. */
function length({ status, fields }: ResponseHead, framing: Framing, method: string): Field[] {
  if (framing.kind === "length") return framingFields(framing);
  if (framing.kind !== "none") return [];
  const [declared] = fieldValues(fields, "content-length");
  const telling = status === 304 || method === "HEAD" && status !== 204;
  return declared === undefined || !telling ? [] : [["Content-Length", declared]];
}
