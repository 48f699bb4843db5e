/**
 * HPACK's Huffman code (RFC 7541 appendix B), for decoding: what we send is short, and goes out as it is.
 *
 * The code is canonical, so the lengths of its codes say everything.
 *
 * @module
 */

/** The length of each symbol's code as a base-36 digit: the 256 bytes, then the end of a string (EOS). */
const lengths = "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca" +
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds" +
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu";
const longest = 30;
const endOfString = 256;

/** The symbols in the order of their codes. */
const symbols: number[] = [];
/** For each length: its first code, and the place of that code's symbol. */
const firsts: { code: number; at: number; count: number }[] = [];
for (let length = 0, code = 0; length <= longest; length++, code <<= 1) {
  const at = symbols.length;
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    if (parseInt(lengths[symbol], 36) === length) symbols.push(symbol);
  }
  firsts.push({ code, at, count: symbols.length - at });
  code += symbols.length - at;
}

/** The text that `bytes` stand for, one character a byte; `null` when they break the code. */
export function decodeHuffman(bytes: Uint8Array): string | null {
  let text = "";
  let code = 0;
  let length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code << 1 | byte >> bit & 1;
      const { code: first, at, count } = firsts[++length];
      if (code - first >= count) continue;
      const symbol = symbols[at + code - first];
      if (symbol === endOfString) return null;
      text += String.fromCharCode(symbol);
      code = length = 0;
    }
  }
  // What fills the last byte is less than a byte of ones, the beginning of EOS.
  return length < 8 && code === (1 << length) - 1 ? text : null;
}
