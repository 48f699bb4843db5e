/**
 * The frames of HTTP/2 (RFC 9113 section 4 and 6): how they are written, and how they are read.
 *
 * @module
 */
import type { Conn } from "../core/conn.ts";
import { encodeFields } from "./h2_hpack.ts";
import type { Field } from "../core/http_head.ts";

/** What a client says first (section 3.4). */
export const preface: Uint8Array = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Section 6. */
export const Type = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

/** The flags of all types; ACK has the bit of END_STREAM. */
export const Flag = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

/** Section 7. */
export const Code = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;

/** The name of an error code. */
export function codeName(code: number): string {
  return Object.entries(Code).find(([, value]) => value === code)?.[0] ?? `error ${code}`;
}

/** Section 6.5.2. */
export const Setting = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

/** The longest payload that we take and send: the least that everybody has to take. */
export const maxFrame = 16 * 1024;
/** The longest that anybody may say to take. */
export const longestFrame = 0xff_ffff;
export const frameHeader = 9;
/** The window of streams and connections that say nothing else. */
export const defaultWindow = 65_535;
export const mostWindow = 0x7fff_ffff;

/** The whole connection is broken: GOAWAY with this code. */
export class ConnectionError extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** A frame; its payload is valid until more is read. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Uint8Array;
}

/** Cuts what a connection delivers into frames. */
export class FrameReader {
  readonly #buffer = new Uint8Array(4 * maxFrame);
  #start = 0;
  #end = 0;

  constructor(readonly conn: Conn) {}

  /** Waits for more bytes; `false` when there are no more. */
  async fill(): Promise<boolean> {
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const n = await this.conn.read(this.#buffer.subarray(this.#end));
    if (n === null && this.#end > 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "an end within a frame");
    this.#end += n ?? 0;
    return n !== null;
  }

  /** Waits for more bytes and throws them away; `false` when there are no more. */
  async discard(): Promise<boolean> {
    return await this.conn.read(this.#buffer) !== null;
  }

  /** Takes the client's preface off; `undefined` when it has not arrived as a whole. @throws ConnectionError */
  preface(): true | undefined {
    const have = this.#buffer.subarray(this.#start, Math.min(this.#end, this.#start + preface.length));
    if (have.some((byte, index) => byte !== preface[index])) {
      throw new ConnectionError(Code.PROTOCOL_ERROR, "the client's preface is not HTTP/2's");
    }
    if (have.length < preface.length) return undefined;
    this.#start += preface.length;
    return true;
  }

  /** The next frame, if it has arrived as a whole. @throws ConnectionError */
  take(): Frame | undefined {
    const bytes = this.#buffer;
    const at = this.#start;
    if (this.#end - at < frameHeader) return undefined;
    const length = bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2];
    if (length > maxFrame) {
      throw new ConnectionError(
        Code.FRAME_SIZE_ERROR,
        `a frame of ${length} bytes, where ${maxFrame} are taken`,
      );
    }
    if (this.#end - at < frameHeader + length) return undefined;
    this.#start += frameHeader + length;
    const payload = bytes.subarray(at + frameHeader, this.#start);
    return { type: bytes[at + 3], flags: bytes[at + 4], stream: uint32(bytes, at + 5) & mostWindow, payload };
  }
}

/** Writes a frame's header at `at`. */
export function writeHeader(
  bytes: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): void {
  bytes[at] = length >> 16;
  bytes[at + 1] = length >> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  setUint32(bytes, at + 5, stream);
}

/** A frame as bytes. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(frameHeader + payload.length);
  writeHeader(bytes, 0, payload.length, type, flags, stream);
  bytes.set(payload, frameHeader);
  return bytes;
}

/** A frame whose payload is 32-bit numbers. */
export function words(type: number, stream: number, ...numbers: readonly number[]): Uint8Array {
  const payload = new Uint8Array(4 * numbers.length);
  numbers.forEach((number, index) => setUint32(payload, 4 * index, number));
  return frame(type, 0, stream, payload);
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Uint8Array {
  const payload = new Uint8Array(6 * settings.length);
  settings.forEach(([id, value], index) => {
    payload[6 * index + 1] = id;
    setUint32(payload, 6 * index + 2, value);
  });
  return frame(Type.SETTINGS, 0, 0, payload);
}

export function goawayFrame(last: number, code: number, why = ""): Uint8Array {
  const debug = new TextEncoder().encode(why.slice(0, 1000));
  const payload = new Uint8Array(8 + debug.length);
  setUint32(payload, 0, last);
  setUint32(payload, 4, code);
  payload.set(debug, 8);
  return frame(Type.GOAWAY, 0, 0, payload);
}

/** HEADERS, with CONTINUATION frames where the fields need them. */
export function headersFrames(stream: number, fields: readonly Field[], end: boolean): Uint8Array {
  const block = encodeFields(fields);
  const count = Math.max(1, Math.ceil(block.length / maxFrame));
  const bytes = new Uint8Array(block.length + count * frameHeader);
  for (let index = 0, at = 0; index < count; index++) {
    const piece = block.subarray(index * maxFrame, (index + 1) * maxFrame);
    const type = index === 0 ? Type.HEADERS : Type.CONTINUATION;
    const flags = (index === count - 1 ? Flag.END_HEADERS : 0) | (index === 0 && end ? Flag.END_STREAM : 0);
    writeHeader(bytes, at, piece.length, type, flags, stream);
    bytes.set(piece, at + frameHeader);
    at += frameHeader + piece.length;
  }
  return bytes;
}

export function uint32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
}

function setUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
