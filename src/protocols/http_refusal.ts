/**
 * How a request that isn't forwarded is answered, so that the connection stays good for the next one where it can.
 *
 * @module
 */
import type { BufferedConn } from "../core/conn.ts";
import { type ErrorCode, ProxyError } from "../core/errors.ts";
import { deadline, drive, read } from "../core/handshake.ts";
import { fieldValues } from "../core/http_head.ts";
import type { Session } from "../core/serve.ts";
import { answer, type AnswerOptions } from "./http_answers.ts";
import type { Request } from "./http_request.ts";

/** The longest body that is read away for the sake of the connection. */
const maxDrained = 64 * 1024;

/**
 * Answers a request whose body has not been touched, and reads that away; `false` when the connection has to end,
 * because the body is long, or may never come.
 */
export async function reply(
  conn: BufferedConn,
  request: Request,
  session: Session,
  words: (options: AnswerOptions) => Uint8Array,
): Promise<boolean> {
  const { framing, head } = request;
  const length = framing.kind === "length" ? framing.length : 0;
  const expecting = fieldValues(head.fields, "expect").length > 0;
  const short = framing.kind !== "chunked" && length <= maxDrained && !(expecting && length > 0);
  const keep = short && !request.closes && !session.retired.aborted;
  await conn.write(words({ keep, headOnly: head.method === "HEAD" }));
  if (keep && length > 0) await drain(conn, length, session);
  return keep;
}

async function drain(conn: BufferedConn, length: number, session: Session): Promise<void> {
  const { ctx, done } = deadline({ signal: session.stopping }, session.timeouts.handshake);
  try {
    await drive(conn, read(length, "the body of a refused request"), ctx, { peer: "client" });
  } finally {
    done();
  }
}

/** An answer for what the client did wrong, and the error for the log. */
export function wrong(
  status: number,
  message: string,
  code: ErrorCode,
): { error: ProxyError; words: (options?: AnswerOptions) => Uint8Array } {
  const type = code === "auth" ? undefined : code === "loop" ? "proxy_loop_detected" : "http_request_error";
  const stage = code === "auth" ? "auth" : "request";
  return {
    error: new ProxyError(message, { code, side: "client", stage }),
    words: (options) => answer(status, type, message, options),
  };
}
