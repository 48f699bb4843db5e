/**
 * Bytes as tests write them down.
 *
 * @module
 */

/** `hex("05 01 00")`. */
export function hex(digits: string): Uint8Array {
  const pairs = digits.match(/[0-9a-f]{2}/gi) ?? [];
  return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
}

/** The bytes as `hex()` takes them. */
export function toHex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** UTF-8. */
export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** The text that bytes hold. */
export function fromUtf8(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** All of them in one piece; text goes in as UTF-8. */
export function concat(...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const pieces = parts.map((part) => typeof part === "string" ? utf8(part) : part);
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** The same bytes in pieces of `size`. */
export function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const cut: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) cut.push(bytes.slice(at, at + size));
  return cut;
}

/** The same bytes, cut at `points` (any numbers; those outside cut nothing). */
export function cutAt(bytes: Uint8Array, points: readonly number[]): Uint8Array[] {
  const sorted = [...new Set(points)].filter((point) => point > 0 && point < bytes.length).sort((a, b) =>
    a - b
  );
  return [0, ...sorted].map((from, index) => bytes.slice(from, sorted[index] ?? bytes.length))
    .filter((piece) => piece.length > 0);
}
