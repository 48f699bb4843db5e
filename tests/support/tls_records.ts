/**
 * Writes the encrypted records of one side of a TLS 1.3 connection (RFC 8446 sections 5.2 and 7.3).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createHmac, randomBytes } from "node:crypto";

/** A server after its handshake, with AES-GCM. */
export class RecordWriter {
  readonly #secret: Buffer;
  readonly #hash: "sha256" | "sha384";
  readonly #keyLength: 16 | 32;
  #current: Buffer;
  #sequence = 0;

  constructor(keyLength: 16 | 32) {
    this.#keyLength = keyLength;
    this.#hash = keyLength === 16 ? "sha256" : "sha384";
    this.#current = this.#secret = randomBytes(keyLength === 16 ? 32 : 48);
  }

  /** The line of the key log that tells this side's secret. */
  keylog(): Buffer {
    return Buffer.from(`SERVER_TRAFFIC_SECRET_0 ${"00".repeat(32)} ${this.#secret.toString("hex")}\n`);
  }

  data(content: Uint8Array): Buffer {
    return this.#record(content, 23);
  }

  /** All that follows is under the next key. */
  keyUpdate(): Buffer {
    const record = this.#record(Buffer.of(24, 0, 0, 1, 0), 22);
    this.#current = this.#expand("traffic upd", this.#current.length);
    this.#sequence = 0;
    return record;
  }

  closeNotify(): Buffer {
    return this.#record(Buffer.of(1, 0), 21);
  }

  #record(content: Uint8Array, type: number): Buffer {
    const header = Buffer.of(23, 3, 3, 0, 0);
    header.writeUInt16BE(content.length + 1 + 16, 3);
    const nonce = this.#expand("iv", 12);
    nonce[11] ^= this.#sequence & 0xff;
    nonce[10] ^= this.#sequence++ >> 8;
    const cipher = createCipheriv(
      this.#keyLength === 16 ? "aes-128-gcm" : "aes-256-gcm",
      this.#expand("key", this.#keyLength),
      nonce,
    );
    cipher.setAAD(header);
    const body = [cipher.update(content), cipher.update(Buffer.of(type)), cipher.final()];
    return Buffer.concat([header, ...body, cipher.getAuthTag()]);
  }

  #expand(label: string, length: number): Buffer {
    const name = Buffer.from(`tls13 ${label}`);
    const info = Buffer.concat([Buffer.of(0, length, name.length), name, Buffer.of(0, 1)]);
    return createHmac(this.#hash, this.#current).update(info).digest().subarray(0, length);
  }
}
