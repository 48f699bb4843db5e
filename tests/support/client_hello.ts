/**
 * ClientHellos as tests write them down, from RFC 8446 section 4.1.2.
 *
 * @module
 */
import { concat, pieces, utf8 } from "./bytes.ts";

/** An extension: its type and its data. */
export type Extension = readonly [type: number, data: Uint8Array];

/** `bytes` behind their length in `size` bytes. */
export function vector(size: 1 | 2 | 3, ...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const bytes = concat(...parts);
  const length = [bytes.length >> 16, bytes.length >> 8 & 255, bytes.length & 255].slice(3 - size);
  return concat(Uint8Array.from(length), bytes);
}

/** The server name extension with one host name. */
export function serverName(name: string | Uint8Array): Extension {
  return [0, vector(2, Uint8Array.of(0), vector(2, name))];
}

/** The ALPN extension. */
export function alpn(...protocols: string[]): Extension {
  return [16, vector(2, ...protocols.map((protocol) => vector(1, utf8(protocol))))];
}

/** The handshake message; `null` leaves the list of extensions out. */
export function clientHelloMessage(extensions: readonly Extension[] | null, session = 32): Uint8Array {
  const list = extensions?.map(([type, data]) =>
    concat(Uint8Array.of(type >> 8, type & 255), vector(2, data))
  );
  return concat(
    Uint8Array.of(1),
    vector(
      3,
      Uint8Array.of(3, 3),
      new Uint8Array(32).fill(7),
      vector(1, new Uint8Array(session)),
      vector(2, Uint8Array.of(0x3a, 0x3a, 0x13, 0x01)),
      vector(1, Uint8Array.of(0)),
      ...(list === undefined ? [] : [vector(2, ...list)]),
    ),
  );
}

/** A handshake message in records of at most `size` bytes. */
export function records(message: Uint8Array, size = 16 * 1024): Uint8Array {
  return concat(...pieces(message, size).map((piece) => concat(Uint8Array.of(22, 3, 1), vector(2, piece))));
}

/** A ClientHello as it goes over the wire. */
export function clientHello(...extensions: Extension[]): Uint8Array {
  return records(clientHelloMessage(extensions));
}
