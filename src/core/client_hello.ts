/**
 * A TLS ClientHello (RFC 8446 section 4.1.2), looked at without taking part: for its server name and its ALPN.
 *
 * The message is put together over segments and over records: one that is split must not pass for one without a name.
 * What OpenSSL would refuse is refused here too, so that nobody further on reads another name out of it.
 *
 * @module
 */

/** What a client said that decides where it goes. */
export interface ClientHello {
  /** The server name (RFC 6066), in lower case and without a trailing dot; absent when there is none of use. */
  readonly serverName?: string;
  /** The protocols that the client offers (RFC 7301), in its order. */
  readonly alpn: readonly string[];
}

/** The bytes are no ClientHello, or a broken one. */
export class ClientHelloError extends Error {
  override readonly name = "ClientHelloError";
}

/** The most bytes of a ClientHello that are waited for, headers of records included. */
export const maxClientHello = 64 * 1024;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
const HOST_NAME = 0;
const recordHeader = 5;
const maxRecord = 16 * 1024;

/** Reads the first bytes of a connection as they come, looking at each record once. */
export class ClientHelloReader {
  /** Where the next record begins. */
  #at = 0;
  readonly #message: number[] = [];

  /** @param most bytes to wait for */
  constructor(readonly most = maxClientHello) {}

  /**
   * @param head all that has come so far
   * @returns the ClientHello, or `undefined` when more bytes are needed
   * @throws ClientHelloError as soon as the bytes can't begin one
   */
  read(head: Uint8Array): ClientHello | undefined {
    for (;;) {
      const end = this.#recordEnd(head);
      if (end === undefined || end > head.length) return undefined;
      for (const byte of head.subarray(this.#at + recordHeader, end)) this.#message.push(byte);
      this.#at = end;
      const [type, high, middle, low] = this.#message;
      if (type !== CLIENT_HELLO) throw new ClientHelloError(`expected a ClientHello, got message ${type}`);
      const length = 4 + (high << 16 | middle << 8 | low); // what is missing counts as 0
      if (length > this.most) throw new ClientHelloError(`a ClientHello of ${length} bytes`);
      if (this.#message.length >= 4 && this.#message.length >= length) {
        return readHello(new Fields(Uint8Array.from(this.#message.slice(4, length))));
      }
    }
  }

  /** Where the record at hand ends, once that is known. */
  #recordEnd(head: Uint8Array): number | undefined {
    const [type, major, , high, low] = head.subarray(this.#at, this.#at + recordHeader);
    if (type !== undefined && type !== HANDSHAKE) {
      throw new ClientHelloError(`expected a handshake record, got type ${type}`);
    }
    if (major !== undefined && major !== 3) throw new ClientHelloError("the record is not of TLS 1.x");
    if (low === undefined) return undefined;
    const size = high << 8 | low;
    if (size === 0 || size > maxRecord) throw new ClientHelloError(`a record of ${size} bytes`);
    const end = this.#at + recordHeader + size;
    if (end > this.most) throw new ClientHelloError(`a ClientHello of more than ${this.most} bytes`);
    return end;
  }
}

function readHello(hello: Fields): ClientHello {
  hello.take(2 + 32); // legacy_version, random
  hello.vector(1); // legacy_session_id
  hello.vector(2); // cipher_suites
  hello.vector(1); // legacy_compression_methods
  if (hello.done) return { alpn: [] };
  const extensions = hello.vector(2);
  hello.end();
  const seen = new Set<number>();
  let serverName: string | undefined;
  let alpn: string[] = [];
  while (!extensions.done) {
    const type = extensions.number(2);
    const data = extensions.vector(2);
    if (seen.has(type)) throw new ClientHelloError(`extension ${type} stands twice`);
    seen.add(type);
    if (type === SERVER_NAME) serverName = readServerName(data);
    else if (type === ALPN) alpn = readProtocols(data);
  }
  return serverName === undefined ? { alpn } : { serverName, alpn };
}

/** The list holds one name of each type, and no type but this one was ever assigned. */
function readServerName(data: Fields): string | undefined {
  const names = data.vector(2);
  data.end();
  if (names.number(1) !== HOST_NAME) throw new ClientHelloError("a server name of an unknown type");
  const name = names.vector(2);
  names.end();
  return normalize(name.text());
}

/**
 * A name as it is compared and dialled. What a resolver would take for an address (`2130706433`, `0x7f.1`) is none,
 * nor is anything that is not ASCII.
 */
function normalize(text: string): string | undefined {
  const name = text.toLowerCase().replace(/\.$/, "");
  const labels = name.split(".");
  const valid = name.length <= 253 && labels.every((label) => /^[a-z0-9_-]{1,63}$/.test(label));
  return valid && !/^(?:[0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1)!) ? name : undefined;
}

function readProtocols(data: Fields): string[] {
  const found: string[] = [];
  const protocols = data.vector(2);
  data.end();
  while (!protocols.done) found.push(protocols.vector(1).text());
  return found;
}

/** Reads numbers and length-prefixed vectors, and never beyond the end. */
class Fields {
  #at = 0;

  constructor(readonly bytes: Uint8Array) {}

  get done(): boolean {
    return this.#at === this.bytes.length;
  }

  end(): void {
    if (!this.done) throw new ClientHelloError("a field is shorter than its length says");
  }

  take(n: number): Uint8Array {
    if (this.#at + n > this.bytes.length) {
      throw new ClientHelloError("a field is longer than the ClientHello");
    }
    return this.bytes.subarray(this.#at, this.#at += n);
  }

  number(size: number): number {
    return this.take(size).reduce((value, byte) => value << 8 | byte, 0);
  }

  vector(sizeOfLength: number): Fields {
    return new Fields(this.take(this.number(sizeOfLength)));
  }

  text(): string {
    let text = "";
    for (const byte of this.bytes) text += String.fromCharCode(byte);
    return text;
  }
}
