/**
 * Header compression for HTTP/2 (RFC 7541).
 *
 * We decode whatever a peer may send, and encode without a dynamic table: a CONNECT is too short to gain from one, and
 * credentials in a table could be guessed by what compresses well.
 *
 * @module
 */
import type { Field } from "../core/http_head.ts";
import { decodeHuffman } from "./h2_huffman.ts";

/** A header block that can't be decoded: the connection is of no use any more. */
export class HpackError extends Error {}

/** Appendix A, numbered from 1. */
const STATIC: readonly Field[] = [
  ":authority",
  ":method GET",
  ":method POST",
  ":path /",
  ":path /index.html",
  ":scheme http",
  ":scheme https",
  ...[200, 204, 206, 304, 400, 404, 500].map((status) => `:status ${status}`),
  "accept-charset",
  "accept-encoding gzip, deflate",
  ...("accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control " +
    "content-disposition content-encoding content-language content-length content-location content-range " +
    "content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range " +
    "if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range " +
    "referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary " +
    "via www-authenticate").split(" "),
].map((entry) => {
  const space = entry.indexOf(" ");
  return space < 0 ? [entry, ""] : [entry.slice(0, space), entry.slice(space + 1)];
});

const tableSize = 4096;
/** What a field weighs besides its text (section 4.1). */
const overhead = 32;

const weight = ([name, value]: Field) => name.length + value.length + overhead;

/** One direction's decoder; blocks must come in order, and none may be left out. */
export class HpackDecoder {
  #table: Field[] = [];
  #size = 0;
  #capacity = tableSize;

  /** @returns the fields, or `null` when they weigh more than `most`. @throws HpackError */
  decode(block: Uint8Array, most: number): Field[] | null {
    const reader = new Reader(block);
    const fields: Field[] = [];
    let total = 0;
    while (!reader.done) {
      const first = reader.peek();
      if ((first & 0xe0) === 0x20) {
        // A change of size may only stand at the beginning (section 4.2).
        const size = reader.integer(5);
        if (size > tableSize || total > 0) {
          throw new HpackError("a change of the table's size that is not allowed");
        }
        this.#resize(size);
        continue;
      }
      const field = first & 0x80 ? this.#at(reader.integer(7)) : this.#literal(reader, first);
      total += weight(field);
      if (total <= most) fields.push(field);
    }
    return total <= most ? fields : null;
  }

  #literal(reader: Reader, first: number): Field {
    const indexed = (first & 0x40) !== 0;
    const index = reader.integer(indexed ? 6 : 4);
    const field = [index === 0 ? reader.text() : this.#at(index)[0], reader.text()] as const;
    if (indexed) this.#add(field);
    return field;
  }

  #at(index: number): Field {
    const field = index <= STATIC.length ? STATIC[index - 1] : this.#table[index - STATIC.length - 1];
    if (field === undefined) throw new HpackError(`no entry ${index} in the table`);
    return field;
  }

  #add(field: Field): void {
    this.#table.unshift(field);
    this.#size += weight(field);
    this.#evict();
  }

  #resize(capacity: number): void {
    this.#capacity = capacity;
    this.#evict();
  }

  #evict(): void {
    while (this.#size > this.#capacity) this.#size -= weight(this.#table.pop()!);
  }
}

class Reader {
  #at = 0;

  constructor(readonly bytes: Uint8Array) {}

  get done(): boolean {
    return this.#at === this.bytes.length;
  }

  peek(): number {
    return this.bytes[this.#at];
  }

  #byte(): number {
    if (this.done) throw new HpackError("the header block ends early");
    return this.bytes[this.#at++];
  }

  /** Section 5.1. */
  integer(prefix: number): number {
    const most = (1 << prefix) - 1;
    let value = this.#byte() & most;
    if (value < most) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new HpackError("an integer that is too long");
  }

  /** Section 5.2; one character a byte. */
  text(): string {
    if (this.done) throw new HpackError("the header block ends early");
    const huffman = (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    if (this.#at + length > this.bytes.length) throw new HpackError("a string that is longer than its block");
    const raw = this.bytes.subarray(this.#at, this.#at += length);
    const text = huffman ? decodeHuffman(raw) : latin1(raw);
    if (text === null) throw new HpackError("a string that breaks the Huffman code");
    return text;
  }
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

const secrets = ["proxy-authorization"];

/** A header block. It begins by giving up the dynamic table, so that a peer with a smaller one has nothing to fear. */
export function encodeFields(fields: readonly Field[]): Uint8Array {
  const bytes = [0x20];
  for (const [name, value] of fields) {
    const index = STATIC.findIndex(([known]) => known === name) + 1;
    writeInteger(bytes, secrets.includes(name) ? 0x10 : 0, 4, index);
    if (index === 0) writeText(bytes, name);
    writeText(bytes, value);
  }
  return Uint8Array.from(bytes);
}

function writeInteger(bytes: number[], flags: number, prefix: number, value: number): void {
  const most = (1 << prefix) - 1;
  if (value < most) return void bytes.push(flags | value);
  bytes.push(flags | most);
  for (value -= most; value >= 0x80; value >>= 7) bytes.push(value & 0x7f | 0x80);
  bytes.push(value);
}

function writeText(bytes: number[], text: string): void {
  writeInteger(bytes, 0, 7, text.length);
  for (let at = 0; at < text.length; at++) bytes.push(text.charCodeAt(at) & 0xff);
}
