/**
 * HTTP/2 frame by frame, for tests of what a library would never send: written a second time, from RFC 9113.
 *
 * @module
 */
import type { Conn } from "../../src/core/conn.ts";
import { concat, fromUtf8, utf8 } from "./bytes.ts";

/** A frame that came. */
export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Uint8Array;
}

export const DATA = 0;
export const HEADERS = 1;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const end = 1;
const endHeaders = 4;

/** A 32-bit number. */
export function number(n: number): Uint8Array {
  return Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n);
}

/** The 32-bit number at `at`. */
export function numberAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
}

/** A frame as bytes. */
export function raw(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array | string = "",
): Uint8Array {
  const body = typeof payload === "string" ? utf8(payload) : payload;
  return concat(
    Uint8Array.of(body.length >> 16, body.length >> 8, body.length, type, flags),
    number(stream),
    body,
  );
}

/** A header block without compression: literals that are not indexed, each under 127 bytes. */
export function block(fields: Readonly<Record<string, string>>): Uint8Array {
  const text = (value: string) => concat(Uint8Array.of(value.length), value);
  return concat(
    ...Object.entries(fields).flatMap(([name, value]) => [Uint8Array.of(0), text(name), text(value)]),
  );
}

/** HEADERS with a whole block. */
export function headers(stream: number, fields: Readonly<Record<string, string>>, last = false): Uint8Array {
  return raw(HEADERS, endHeaders | (last ? end : 0), stream, block(fields));
}

/** HEADERS that ask for a tunnel. */
export function connectTo(
  stream: number,
  authority: string,
  more: Readonly<Record<string, string>> = {},
): Uint8Array {
  return headers(stream, { ":method": "CONNECT", ":authority": authority, ...more });
}

/** One end of a connection, in frames. */
export class RawPeer {
  readonly frames: RawFrame[] = [];
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(readonly conn: Conn) {}

  /** Sends the preface and empty settings. */
  async greet(): Promise<void> {
    await this.send(utf8(preface), raw(SETTINGS, 0, 0));
  }

  async send(...parts: readonly Uint8Array[]): Promise<void> {
    await this.conn.write(concat(...parts));
  }

  /** The next frame; `null` at the end. */
  async next(): Promise<RawFrame | null> {
    for (;;) {
      const bytes = this.#bytes;
      const length = bytes.length < 9 ? Infinity : bytes[0] << 16 | bytes[1] << 8 | bytes[2];
      if (bytes.length >= 9 + length) {
        this.#bytes = bytes.slice(9 + length);
        const found = {
          type: bytes[3],
          flags: bytes[4],
          stream: numberAt(bytes, 5),
          payload: bytes.slice(9, 9 + length),
        };
        this.frames.push(found);
        return found;
      }
      const p = new Uint8Array(65_536);
      const n = await this.conn.read(p);
      if (n === null) return null;
      this.#bytes = concat(bytes, p.subarray(0, n));
    }
  }

  /** Reads on to a frame of this type, on this stream if one is named. */
  async until(type: number, stream?: number): Promise<RawFrame> {
    for (;;) {
      const found = await this.next();
      if (found === null) {
        const seen = this.frames.map((one) => `${one.type}@${one.stream}`);
        throw new Error(`the connection ended without a frame of type ${type}: ${seen}`);
      }
      if (found.type === type && (stream === undefined || found.stream === stream)) return found;
    }
  }

  /** Reads on to the RST_STREAM of a stream: its error code. */
  async resetOf(stream: number): Promise<number> {
    return numberAt((await this.until(RST_STREAM, stream)).payload, 0);
  }

  /** Reads on to GOAWAY: its error code and words. */
  async goaway(): Promise<{ code: number; why: string }> {
    const { payload } = await this.until(GOAWAY);
    return { code: numberAt(payload, 4), why: fromUtf8(payload.subarray(8)) };
  }
}
