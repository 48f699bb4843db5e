/**
 * Which fields a response has as it goes on to the client.
 *
 * @module
 */
import { type Framing, framingFields } from "../core/http_body.ts";
import { type Field, fieldValues, type ResponseHead } from "../core/http_head.ts";
import { endToEnd, via } from "./http_fields.ts";

/** The fields of a response before the final one. */
export function informationalFields(response: ResponseHead): Field[] {
  return [...passedOn(response, false), via(`1.${response.minor}`)];
}

/** The fields of a final response; where its body is `streamed`, nothing is said of its length. */
export function finalFields(
  response: ResponseHead,
  framing: Framing,
  method: string,
  streamed: boolean,
): Field[] {
  const fields = [...passedOn(response, streamed), via(`1.${response.minor}`)];
  return streamed ? fields : [...fields, ...length(response, framing, method)];
}

/** The fields of the 101 behind which there is no more HTTP. */
export function upgradeFields(response: ResponseHead): Field[] {
  return [...passedOn(response, false), ["Connection", "Upgrade"], ["Upgrade", "websocket"]];
}

/** What goes on as it came; trailers are announced where they can follow. */
function passedOn({ fields }: ResponseHead, trailers: boolean): Field[] {
  return endToEnd(fields).filter(([name]) => trailers || name !== "trailer");
}

/** The length that a response declares, even where no body follows; not with 204, which can have none. */
function length({ status, fields }: ResponseHead, framing: Framing, method: string): Field[] {
  if (framing.kind === "length") return framingFields(framing);
  if (framing.kind !== "none") return [];
  const [declared] = fieldValues(fields, "content-length");
  const telling = status === 304 || method === "HEAD" && status !== 204;
  return declared === undefined || !telling ? [] : [["Content-Length", declared]];
}
