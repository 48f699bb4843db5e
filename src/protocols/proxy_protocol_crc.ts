/**
 * CRC-32C (Castagnoli, RFC 3309 appendix B), for headers of the PROXY protocol.
 *
 * @module
 */

/** The checksum, made bit by bit: headers are short. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
