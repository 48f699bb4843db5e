/**
 * The PROXY protocol, versions 1 and 2, both sides: whose connection this one stands for.
 *
 * It is never sniffed: the specification says that a receiver "MUST not try to guess". A listener requires it, from
 * networks that it trusts, or has it off.
 *
 * @module
 */
import { concat } from "../core/bytes.ts";
import { ipBytes, ipFromBytes, ipVersion, parsePort } from "../core/address.ts";
import type { Client, Endpoint } from "../core/conn.ts";
import type { Layer } from "../core/dialer.ts";
import { ProxyError } from "../core/errors.ts";
import { type Find, type Handshake, read, TooLong, until } from "../core/handshake.ts";
import { crc32c } from "./proxy_protocol_crc.ts";

/** The versions of the protocol: a line of text, or binary with room for more. */
export type ProxyProtocolVersion = 1 | 2;

const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const COMMAND = { local: 0, proxy: 1 } as const;
const TYPE = { alpn: 1, authority: 2, crc32c: 3, uniqueId: 5 } as const;
const maxV1 = 107;
const maxV2 = 4096;
const maxUniqueId = 128;
const what = "the PROXY protocol header";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

const lineEnd: Find = (head, from) => {
  const at = head.indexOf(10, from);
  return at < 0 ? -1 : at + 1;
};

/** Reads a header of either version. A client without a source is the peer itself. */
export function* accept(): Handshake<Client> {
  // A client that waits for an answer behind its first few bytes is not left to wait for the time-out.
  const first = yield* read(1, what);
  if (first[0] !== SIGNATURE[0] && first[0] !== 0x50) throw noHeader();
  // Both versions are longer than this, and no header of one begins like the other.
  const start = concat(first, yield* read(7, what));
  const startText = decoder.decode(start);
  if (startText.startsWith("PROXY ")) {
    return parseV1(startText + decoder.decode(yield* restOfLine(maxV1 - start.length)));
  }
  if (!start.every((byte, index) => byte === SIGNATURE[index])) throw noHeader();
  const head = concat(start, yield* read(8, what));
  const { length, fields } = parseV2(head);
  return fields(length === 0 ? new Uint8Array(0) : yield* read(length, what));
}

function* restOfLine(max: number): Handshake<Uint8Array> {
  try {
    return yield* until(lineEnd, max, what);
  } catch (error) {
    throw error instanceof TooLong ? broken(`the line is longer than ${maxV1} bytes`) : error;
  }
}

/** `PROXY TCP4 192.0.2.1 198.51.100.2 40112 443`, or `PROXY UNKNOWN …`, whose rest is ignored. */
function parseV1(line: string): Client {
  if (!line.endsWith("\r\n") || line.includes("\0")) throw broken("the line does not end in CRLF");
  const words = line.slice(0, -2).split(" ");
  const [, family, source, destination, sourcePort, destinationPort] = words;
  if (family === "UNKNOWN") return {};
  const version = family === "TCP4" ? 4 : family === "TCP6" ? 6 : 0;
  if (version === 0 || words.length !== 6) {
    throw broken("expected PROXY TCP4 or TCP6 with two addresses and two ports");
  }
  if (ipVersion(source) !== version || ipVersion(destination) !== version) {
    throw broken(`expected two ${family} addresses`);
  }
  return {
    source: endpoint(ipBytes(source), v1Port(sourcePort)),
    destination: endpoint(ipBytes(destination), v1Port(destinationPort)),
  };
}

function v1Port(word: string): number {
  try {
    if (word === "0" || !word.startsWith("0")) return parsePort(word, 0);
  } catch {
    // said below
  }
  throw broken("a port is no number from 0 to 65535");
}

/** The fixed part of a header: how much follows, and how to read it. */
function parseV2(head: Uint8Array): { length: number; fields: (body: Uint8Array) => Client } {
  if (!SIGNATURE.every((byte, index) => head[index] === byte)) throw noHeader();
  const [version, command] = [head[12] >> 4, head[12] & 15];
  const [family, transport] = [head[13] >> 4, head[13] & 15];
  if (version !== 2) throw broken(`version ${version} in a header of version 2`);
  if (command > COMMAND.proxy || family > 3 || transport > 2) {
    throw broken(`command ${command}, family ${family} or transport ${transport} is not assigned`);
  }
  const length = head[14] << 8 | head[15];
  if (length > maxV2) throw broken(`the header is ${length} bytes long`);
  // The sender's own connection, or one that it has no words for: whatever follows is skipped.
  if (command === COMMAND.local || family === 0) return { length, fields: () => ({}) };
  return { length, fields: (body) => parseFields(head, body, family as 1 | 2 | 3, transport) };
}

function parseFields(head: Uint8Array, body: Uint8Array, family: 1 | 2 | 3, transport: number): Client {
  const size = { 1: 4, 2: 16, 3: 108 }[family];
  const addresses = family === 3 ? 2 * size : 2 * size + 4;
  if (body.length < addresses) throw broken("the address block is cut short");
  const known = readTlvs(head, body, addresses);
  if (family === 3 || transport === 0) return known;
  const port = (at: number) => body[at] << 8 | body[at + 1];
  return {
    source: endpoint(body.subarray(0, size), port(2 * size)),
    destination: endpoint(body.subarray(size, 2 * size), port(2 * size + 2)),
    ...known,
  };
}

function readTlvs(head: Uint8Array, body: Uint8Array, start: number): Client {
  const found: { alpn?: string; serverName?: string; uniqueId?: Uint8Array } = {};
  for (let at = start; at < body.length;) {
    const end = at + 3 + (body[at + 1] << 8 | body[at + 2]);
    if (at + 3 > body.length || end > body.length) throw broken("a TLV is longer than the header");
    const value = body.slice(at + 3, end);
    if (body[at] === TYPE.alpn) found.alpn = decoder.decode(value);
    else if (body[at] === TYPE.authority) found.serverName = decoder.decode(value);
    else if (body[at] === TYPE.crc32c) checkSum(head, body, at + 3, value);
    else if (body[at] === TYPE.uniqueId) {
      if (value.length > maxUniqueId) throw broken(`a unique id of more than ${maxUniqueId} bytes`);
      found.uniqueId = value;
    }
    at = end;
  }
  return found;
}

function checkSum(head: Uint8Array, body: Uint8Array, at: number, value: Uint8Array): void {
  if (value.length !== 4) throw broken("a CRC32C of other than 4 bytes");
  const blanked = concat(head, body);
  blanked.fill(0, head.length + at, head.length + at + 4);
  const [a, b, c, d] = value;
  if (crc32c(blanked) !== (a << 24 | b << 16 | c << 8 | d) >>> 0) throw broken("the CRC32C does not match");
}

/** The layer that tells a server whose connection this is, before anything else is said. */
export function proxyProtocolLayer(version: ProxyProtocolVersion): Layer {
  return async (conn, _server, { client }) => {
    try {
      await conn.write(format(version, client ?? {}));
      return conn;
    } catch (error) {
      conn.abort();
      throw error;
    }
  };
}

/** The header for a client; one without both addresses is a connection of our own. */
export function format(version: ProxyProtocolVersion, client: Client): Uint8Array {
  return version === 1 ? formatV1(client) : formatV2(client);
}

function formatV1(client: Client): Uint8Array {
  const ends = inOneFamily(client);
  if (ends === undefined) return encoder.encode("PROXY UNKNOWN\r\n");
  const [source, destination] = ends.bytes.map(ipFromBytes);
  const family = ends.size === 4 ? "TCP4" : "TCP6";
  return encoder.encode(`PROXY ${family} ${source} ${destination} ${ends.ports.join(" ")}\r\n`);
}

function formatV2(client: Client): Uint8Array {
  const ends = inOneFamily(client);
  const addresses = ends === undefined ? [] : [
    ...ends.bytes.flatMap((bytes) => [...bytes]),
    ...ends.ports.flatMap((port) => [port >> 8, port & 255]),
  ];
  const tlvs = [
    ...tlv(TYPE.alpn, client.alpn),
    ...tlv(TYPE.authority, client.serverName),
    ...tlv(TYPE.uniqueId, client.uniqueId),
    TYPE.crc32c,
    ...[0, 4],
    ...[0, 0, 0, 0],
  ];
  const length = addresses.length + tlvs.length;
  const command = ends === undefined ? COMMAND.local : COMMAND.proxy;
  const family = ends === undefined ? 0x00 : ends.size === 4 ? 0x11 : 0x21;
  const whole = Uint8Array.of(
    ...SIGNATURE,
    0x20 | command,
    family,
    length >> 8,
    length & 255,
    ...addresses,
    ...tlvs,
  );
  new DataView(whole.buffer).setUint32(whole.length - 4, crc32c(whole));
  return whole;
}

function tlv(type: number, value: Uint8Array | string | undefined): number[] {
  const bytes = typeof value === "string" ? encoder.encode(value) : value;
  return bytes === undefined || bytes.length === 0
    ? []
    : [type, bytes.length >> 8, bytes.length & 255, ...bytes];
}

/** Both addresses of a client as bytes of one family: where they differ, IPv4 goes as IPv4-mapped IPv6. */
function inOneFamily({ source, destination }: Client) {
  if (source === undefined || destination === undefined) return undefined;
  const ends = [source, destination];
  if (ends.some(({ hostname }) => ipVersion(hostname) === 0)) return undefined;
  const bytes = ends.map(({ hostname }) => ipBytes(hostname));
  const size = Math.max(...bytes.map(({ length }) => length));
  return {
    size,
    bytes: bytes.map((one) => one.length === size ? one : Uint8Array.of(...mapped, ...one)),
    ports: ends.map(({ port }) => port),
  };
}

const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255);

/** An IPv4-mapped client is an IPv4 client: it has one spelling in logs, limits and rules. */
function endpoint(bytes: Uint8Array, port: number): Endpoint {
  const isMapped = bytes.length === 16 && mapped.every((byte, index) => bytes[index] === byte);
  return { hostname: ipFromBytes(isMapped ? bytes.subarray(12) : bytes), port };
}

function noHeader(): ProxyError {
  return broken("expected a header, got something else");
}

function broken(message: string): ProxyError {
  return new ProxyError(`PROXY protocol: ${message}`, { code: "protocol", side: "client", stage: "request" });
}
