/**
 * The body of an answer over HTTPS, whatever the version.
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import type { BufferedConn } from "../core/conn.ts";
import { type Framing, readBody } from "../core/http_body.ts";
import { failure } from "./failure.ts";

const maxMessage = 64 * 1024;

/** Reads all of it. @throws ProxyError when it is longer than a DNS message */
export async function whole(conn: BufferedConn, framing: Framing): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of readBody(conn, framing, "upstream")) {
    length += piece.length;
    if (length > maxMessage) throw failure(`its answer is longer than ${maxMessage} bytes`);
    pieces.push(piece);
  }
  return concat(...pieces);
}
