/**
 * Bodies of HTTP/1 messages (RFC 9112 sections 6 and 7): how long they are, read strictly, and framed anew.
 *
 * There is one reading of every message. Whatever another parser might take differently is refused: Content-Length
 * beside Transfer-Encoding, `chunked` anywhere but at the end, lengths that are not plain decimals, line ends within a
 * chunk that are not CRLF. Bodies stream: a piece is read when the one before it has been written.
 *
 * @module
 */
import { concat } from "./bytes.ts";
import type { BufferedConn } from "./conn.ts";
import { ProxyError, type Side } from "./errors.ts";
import {
  type Field,
  fieldValues,
  formatTrailers,
  fromLatin1,
  headEnd,
  HeadError,
  parseTrailers,
  type RequestHead,
  type ResponseHead,
  trimmed,
} from "./http_head.ts";

/** How a message says where its body ends. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | {
    readonly kind: "chunked"; /** What else was done to the body, in that order. */
    readonly codings?: string;
  }
  | { readonly kind: "close" };

const none: Framing = { kind: "none" };
/** The codings of RFC 9112 section 7.2: what is done to a body before it is cut into chunks. */
const compressions = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];

/**
 * The framing of a request.
 *
 * @throws HeadError
 */
export function requestFraming({ minor, fields }: RequestHead): Framing {
  const framing = declared(minor, fields);
  if (fieldValues(fields, "content-length").length > 1) throw new HeadError("more than one Content-Length");
  return framing ?? none;
}

/**
 * The framing of the final response to a request of this method.
 *
 * @throws HeadError
 */
export function responseFraming({ minor, status, fields }: ResponseHead, method: string): Framing {
  // What a response without a body declares has to be sound all the same: the next parser may believe it.
  const framing = declared(minor, fields);
  // A server may compress like this only for those who said that they take it (TE), and that goes no further than us.
  if (framing?.kind === "chunked" && framing.codings) {
    throw new HeadError("a Transfer-Encoding other than chunked");
  }
  const bodiless = method === "HEAD" || status < 200 || status === 204 || status === 304;
  return bodiless ? none : framing ?? { kind: "close" };
}

function declared(minor: number, fields: readonly Field[]): Framing | undefined {
  const encodings = fieldValues(fields, "transfer-encoding");
  const lengths = fieldValues(fields, "content-length");
  if (encodings.length > 0) {
    if (lengths.length > 0) throw new HeadError("both Transfer-Encoding and Content-Length");
    if (minor === 0) throw new HeadError("Transfer-Encoding in HTTP/1.0");
    const codings = encodings.join(",").split(",").map((coding) => trimmed(coding).toLowerCase());
    if (codings.at(-1) !== "chunked") throw new HeadError("a Transfer-Encoding that does not end in chunked");
    if (codings.indexOf("chunked") < codings.length - 1) throw new HeadError("chunked more than once");
    const others = codings.slice(0, -1);
    if (others.some((coding) => !compressions.includes(coding))) {
      throw new HeadError("a Transfer-Encoding that is not known", 501);
    }
    return others.length === 0 ? { kind: "chunked" } : { kind: "chunked", codings: others.join(", ") };
  }
  if (lengths.length === 0) return undefined;
  const length = /^[0-9]+$/.test(lengths[0]) ? Number(lengths[0]) : NaN;
  if (!(length <= Number.MAX_SAFE_INTEGER)) throw new HeadError("a Content-Length that is not a length");
  if (lengths.some((other) => other !== lengths[0])) throw new HeadError("two lengths that contradict");
  return { kind: "length", length };
}

/** The field that announces a framing, if one does. */
export function framingFields(framing: Framing): Field[] {
  if (framing.kind === "chunked") {
    return [["Transfer-Encoding", framing.codings ? `${framing.codings}, chunked` : "chunked"]];
  }
  return framing.kind === "length" ? [["Content-Length", String(framing.length)]] : [];
}

const piece = 64 * 1024;

/**
 * Reads a body, without its framing, and nothing behind it; returns its trailers. A piece is valid for good.
 *
 * @throws ProxyError with side `peer` when the framing is broken or the connection ends within it
 */
export async function* readBody(
  conn: BufferedConn,
  framing: Framing,
  peer: Extract<Side, "client" | "upstream">,
): AsyncGenerator<Uint8Array, readonly Field[]> {
  if (framing.kind === "length") yield* exactly(conn, framing.length, peer);
  if (framing.kind === "close") { while (await some(conn)) yield conn.consume(conn.buffered.length); }
  if (framing.kind !== "chunked") return [];
  const line = chunkSizes(peer);
  for (;;) {
    const size = line(await readLine(conn, peer));
    if (size === 0) return await trailers(conn, peer);
    yield* exactly(conn, size, peer);
    if (await readLine(conn, peer) !== "") throw broken("a chunk longer than its size", peer);
  }
}

async function some(conn: BufferedConn): Promise<boolean> {
  return conn.buffered.length > 0 || await conn.fill(piece);
}

async function* exactly(conn: BufferedConn, length: number, peer: Side): AsyncGenerator<Uint8Array, void> {
  for (let rest = length; rest > 0;) {
    if (!(await some(conn))) throw ended(peer);
    const bytes = conn.consume(Math.min(rest, conn.buffered.length));
    rest -= bytes.length;
    yield bytes;
  }
}

const maxLine = 4 * 1024;
const maxTrailers = 16 * 1024;
/** How many bytes the framing may take beyond what is needed for the content: extensions cost the reader most. */
const maxExcess = 16 * 1024;

/** Reads the sizes of a body's chunks; extensions are dropped, and may not outweigh the content. */
function chunkSizes(peer: Side): (line: string) => number {
  let excess = 0;
  return (line) => {
    const [, digits] = /^([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/.exec(line) ?? [];
    const size = digits === undefined ? NaN : parseInt(digits, 16);
    if (!(size <= Number.MAX_SAFE_INTEGER)) {
      throw broken("a chunk's size that is no hexadecimal number", peer);
    }
    excess = Math.max(0, excess + line.length - 2 * size - 16);
    if (excess > maxExcess) throw broken("chunk extensions that outweigh the body", peer);
    return size;
  };
}

/** One line that ends in CRLF, without it. */
async function readLine(conn: BufferedConn, peer: Side): Promise<string> {
  for (let looked = 0;;) {
    const bytes = conn.buffered;
    const at = bytes.indexOf(10, looked);
    if (at >= 0 && at <= maxLine) {
      const line = fromLatin1(conn.consume(at + 1));
      if (!line.endsWith("\r\n")) throw broken("a chunk's line that ends in a bare LF", peer);
      return line.slice(0, -2);
    }
    if (bytes.length > maxLine) throw broken(`a chunk's line of more than ${maxLine} bytes`, peer);
    looked = bytes.length;
    if (!(await conn.fill(piece))) throw ended(peer);
  }
}

/** What follows the last chunk, through the empty line. */
async function trailers(conn: BufferedConn, peer: Side): Promise<readonly Field[]> {
  for (;;) {
    const bytes = conn.buffered;
    if (bytes[0] === 13 && bytes[1] === 10) {
      conn.consume(2);
      return [];
    }
    const end = bytes.length < 2 ? -1 : headEnd(bytes, 0);
    if (end > maxTrailers || end < 0 && bytes.length > maxTrailers) {
      throw broken(`trailers of more than ${maxTrailers} bytes`, peer);
    }
    if (end >= 0) {
      try {
        return parseTrailers(conn.consume(end));
      } catch (error) {
        throw broken((error as Error).message, peer);
      }
    }
    if (!(await conn.fill())) throw ended(peer);
  }
}

function broken(what: string, side: Side): ProxyError {
  return new ProxyError(`the body has ${what}`, { code: "protocol", side, stage: "relay" });
}

function ended(side: Side): ProxyError {
  return new ProxyError("the connection ended within a body", { code: "closed", side, stage: "relay" });
}

/** A piece of a body as a chunk. */
export function chunk(content: Uint8Array): Uint8Array {
  const size = `${content.length.toString(16)}\r\n`;
  const whole = new Uint8Array(size.length + content.length + 2);
  ascii.encodeInto(size, whole);
  whole.set(content, size.length);
  whole.set([13, 10], size.length + content.length);
  return whole;
}

/** What ends a body in chunks. @throws HeadError */
export function lastChunk(trailers: readonly Field[]): Uint8Array {
  return concat(ascii.encode("0\r\n"), formatTrailers(trailers));
}

const ascii = new TextEncoder();
