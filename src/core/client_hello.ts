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
  /** What the records held so far, with room behind it. */
  #message: Uint8Array = new Uint8Array(0);
  #size = 0;

  /** @param most bytes to wait for */
  constructor(readonly most = maxClientHello) {}

  /**
   * @param head all that has come so far, which stays as it is
   * @returns the ClientHello, or `undefined` when more bytes are needed
   * @throws ClientHelloError as soon as the bytes can't begin one
   */
  read(head: Uint8Array): ClientHello | undefined {
    for (;;) {
      const end = this.#recordEnd(head);
      if (end === undefined || end > head.length) return undefined;
      this.#append(head.subarray(this.#at + recordHeader, end));
      this.#at = end;
      const message = this.#message;
      if (message[0] !== CLIENT_HELLO) {
        throw new ClientHelloError(`expected a ClientHello, got message ${message[0]}`);
      }
      // What is missing counts as 0.
      const [high, middle, low] = [1, 2, 3].map((at) => at < this.#size ? message[at] : 0);
      const length = 4 + (high << 16 | middle << 8 | low);
      if (length > this.most) throw new ClientHelloError(`a ClientHello of ${length} bytes`);
      if (this.#size >= 4 && this.#size >= length) return readHello(new Fields(message, 4, length));
    }
  }

  /** The first record, which mostly holds it all, is not copied. */
  #append(part: Uint8Array): void {
    const size = this.#size + part.length;
    if (this.#size === 0) this.#message = part;
    else {
      if (size > this.#message.length) {
        const grown = new Uint8Array(2 * size);
        grown.set(this.#message.subarray(0, this.#size));
        this.#message = grown;
      }
      this.#message.set(part, this.#size);
    }
    this.#size = size;
  }

  /** Where the record at hand ends, once that is known. */
  #recordEnd(head: Uint8Array): number | undefined {
    const at = this.#at;
    const left = head.length - at;
    if (left > 0 && head[at] !== HANDSHAKE) {
      throw new ClientHelloError(`expected a handshake record, got type ${head[at]}`);
    }
    if (left > 1 && head[at + 1] !== 3) throw new ClientHelloError("the record is not of TLS 1.x");
    if (left < recordHeader) return undefined;
    const size = head[at + 3] << 8 | head[at + 4];
    if (size === 0 || size > maxRecord) throw new ClientHelloError(`a record of ${size} bytes`);
    const end = at + recordHeader + size;
    if (end > this.most) throw new ClientHelloError(`a ClientHello of more than ${this.most} bytes`);
    return end;
  }
}

function readHello(hello: Fields): ClientHello {
  hello.skip(2 + 32); // legacy_version, random
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

/** Reads numbers and length-prefixed vectors in a part of `bytes`, and never beyond its end. */
class Fields {
  constructor(readonly bytes: Uint8Array, public at: number, readonly stop: number) {}

  get done(): boolean {
    return this.at === this.stop;
  }

  end(): void {
    if (!this.done) throw new ClientHelloError("a field is shorter than its length says");
  }

  skip(n: number): void {
    this.at += n;
    if (this.at > this.stop) throw new ClientHelloError("a field is longer than the ClientHello");
  }

  number(size: number): number {
    let at = this.at;
    this.skip(size);
    let value = 0;
    while (at < this.at) value = value << 8 | this.bytes[at++];
    return value;
  }

  vector(sizeOfLength: number): Fields {
    const length = this.number(sizeOfLength);
    const start = this.at;
    this.skip(length);
    return new Fields(this.bytes, start, this.at);
  }

  text(): string {
    let text = "";
    for (let at = this.at; at < this.stop; at++) text += String.fromCharCode(this.bytes[at]);
    return text;
  }
}
