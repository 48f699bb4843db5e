/**
 * A header block of HTTP/2, put together from HEADERS and CONTINUATION frames (RFC 9113 section 4.3), within bounds
 * (CVE-2024-27316).
 *
 * @module
 */
import type { Field } from "../core/http_head.ts";
import { Code, ConnectionError, Flag, type Frame } from "./h2_frames.ts";
import { HpackDecoder, HpackError } from "./h2_hpack.ts";

/** A block that is complete; `fields` is `null` when they weigh too much. */
export interface Block {
  readonly stream: number;
  readonly fields: Field[] | null;
  readonly end: boolean;
}

/** One direction's blocks, one after the other. */
export class HeaderBlock {
  /** Whose block is not complete; 0 when there is none. */
  stream = 0;
  readonly #decoder = new HpackDecoder();
  #pieces: Uint8Array[] = [];
  #size = 0;
  #end = false;

  /** @param most bytes of a block, and weight of its fields */
  constructor(readonly most: number) {}

  /** Takes HEADERS; `null` while the block is not complete. @throws ConnectionError */
  begin({ stream, flags, payload }: Frame): Block | null {
    if (stream === 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "HEADERS on no stream");
    const padded = (flags & Flag.PADDED) !== 0;
    const start = (padded ? 1 : 0) + (flags & Flag.PRIORITY ? 5 : 0);
    const end = payload.length - (padded ? payload[0] : 0);
    if (!(start <= end)) throw new ConnectionError(Code.PROTOCOL_ERROR, "padding longer than its frame");
    this.stream = stream;
    this.#end = (flags & Flag.END_STREAM) !== 0;
    return this.#add(payload.subarray(start, end), flags);
  }

  /** Takes CONTINUATION. */
  goOn({ flags, payload }: Frame): Block | null {
    if (this.stream === 0) throw new ConnectionError(Code.PROTOCOL_ERROR, "CONTINUATION of nothing");
    if (payload.length === 0 && !(flags & Flag.END_HEADERS)) {
      throw new ConnectionError(Code.ENHANCE_YOUR_CALM, "an empty CONTINUATION");
    }
    return this.#add(payload, flags);
  }

  #add(piece: Uint8Array, flags: number): Block | null {
    this.#size += piece.length;
    // A frame of one byte is counted as more than that.
    if (this.#size + 64 * this.#pieces.length > this.most) {
      throw new ConnectionError(Code.ENHANCE_YOUR_CALM, `a header block of more than ${this.most} bytes`);
    }
    this.#pieces.push(piece.slice());
    if (!(flags & Flag.END_HEADERS)) return null;
    const whole = new Uint8Array(this.#size);
    let at = 0;
    for (const one of this.#pieces) {
      whole.set(one, at);
      at += one.length;
    }
    const block = { stream: this.stream, fields: this.#decode(whole), end: this.#end };
    this.stream = this.#size = 0;
    this.#pieces = [];
    return block;
  }

  #decode(block: Uint8Array): Field[] | null {
    try {
      return this.#decoder.decode(block, this.most);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      throw new ConnectionError(Code.COMPRESSION_ERROR, error.message);
    }
  }
}
