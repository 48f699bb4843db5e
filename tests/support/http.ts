/**
 * HTTP/1 answers as tests look at them.
 *
 * @module
 */
import { type Field, fieldValues, headEnd, parseResponseHead } from "../../src/core/http_head.ts";
import type { Handshake } from "../../src/core/handshake.ts";
import type { Gate, TunnelRequest } from "../../src/core/serve.ts";
import { accept, readRequest } from "../../src/protocols/http_connect.ts";
import { fromUtf8 } from "./bytes.ts";

/** A whole response. */
export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly fields: readonly Field[];
  readonly body: string;
  /** The first value of a field. */
  field(name: string): string | undefined;
}

/** Reads one response, strictly: its body is as long as it says, and nothing follows. */
export function readAnswer(bytes: Uint8Array): Answer {
  const end = headEnd(bytes, 0);
  if (end < 0 || !fromUtf8(bytes.slice(0, end)).endsWith("\r\n\r\n")) throw new Error("no head in CRLF");
  const { status, reason, fields } = parseResponseHead(bytes.slice(0, end));
  const field = (name: string) => fieldValues(fields, name)[0];
  const length = Number(field("content-length") ?? 0);
  if (bytes.length !== end + length) throw new Error(`the body is not ${length} bytes long`);
  return { status, reason, fields, body: fromUtf8(bytes.slice(end)), field };
}

/** The server's side of CONNECT, from a request's first byte. */
export function* acceptConnect(gate: Gate): Handshake<TunnelRequest> {
  return yield* accept(yield* readRequest(), gate);
}
