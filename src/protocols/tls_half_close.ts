/**
 * Keeps a TLS 1.3 connection half-open on Bun, whose `node:tls` over a stream closes its own side as soon as the
 * peer's close_notify arrives.
 *
 * With the peer's traffic secret, which the `keylog` event tells, the few records are opened that by their length may
 * be a close_notify or a KeyUpdate. A close_notify never reaches `node:tls`; the end of the data is reported in its
 * stead. Everything else passes as it is. What this does not cover is in docs/runtimes.md.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createDecipheriv, createHmac } from "node:crypto";

/** Whether this runtime's `node:tls` ends both directions at the peer's close_notify. */
export const losesHalfClose = "Bun" in globalThis;

const nothing = new Uint8Array(0);
const header = 5;
const tag = 16;
/** Lengths of records (RFC 8446 section 5.2): the content, one byte that tells its type, and the tag. */
const alert = 2 + 1 + tag;
const keyUpdate = 5 + 1 + tag;
/** More records than the encrypted part of a handshake takes; those have keys and numbers of their own. */
const mostHandshakeRecords = 64;

/** Where the peer's records pass before `node:tls` sees them. */
export class CloseNotifyGate {
  /** The peer has said that it ends; nothing passes any more. */
  closed = false;
  /** Not known yet, or `null` where records can't be opened: then all pass. */
  #key: TrafficKey | null | undefined;
  /** Encrypted records that have passed. */
  #passed = 0;
  /** The beginning of a record that may have to be kept. */
  #held: Uint8Array = nothing;
  /** What is still to come of a record that passes. */
  #rest = 0;

  /** @param sender whose records these are */
  constructor(readonly sender: "CLIENT" | "SERVER") {}

  /** Whether it can tell a close_notify, so that an end without one is known for a cut. */
  get tells(): boolean {
    return this.#key !== null && this.#key !== undefined;
  }

  /** Takes a line of the key log (NSS format); whether what is kept may pass now. */
  keylog(line: Uint8Array): boolean {
    const [label, , secret] = Buffer.from(line).toString().trim().split(" ");
    if (label === `${this.sender}_TRAFFIC_SECRET_0`) this.#key ??= new TrafficKey(Buffer.from(secret, "hex"));
    else if (label === "CLIENT_RANDOM") this.#key = null; // TLS 1.2
    else return false;
    return true;
  }

  /** What goes on to `node:tls` now; the rest is kept until more comes, or the end. */
  pass(chunk: Uint8Array): Uint8Array {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let at = 0;
    while (at < bytes.length && this.#key !== null && !this.closed) {
      if (this.#rest === 0) {
        const left = bytes.length - at;
        const size = left < header ? header : header + (bytes[at + 3] << 8 | bytes[at + 4]);
        const suspect = bytes[at] === 23 && (size === header + alert || size === header + keyUpdate);
        if (left < header || suspect && (left < size || this.#key === undefined)) break;
        if (suspect && this.#isCloseNotify(this.#key!, bytes.subarray(at, at + size))) {
          this.closed = true;
          break;
        }
        if (bytes[at] === 23) this.#passed++;
        this.#rest = size;
      }
      const step = Math.min(this.#rest, bytes.length - at);
      this.#rest -= step;
      at += step;
    }
    if (this.#key === null) at = bytes.length;
    if (at === bytes.length) {
      this.#held = nothing;
      return bytes;
    }
    this.#held = new Uint8Array(bytes.subarray(at));
    return bytes.subarray(0, at);
  }

  /** What was kept when the connection ended without a close_notify. */
  release(): Uint8Array {
    return this.closed ? nothing : this.#held;
  }

  #isCloseNotify(key: TrafficKey, record: Uint8Array): boolean {
    const content = key.open(record, this.#passed);
    if (content === null) this.#key = null;
    else if (content[0] === 24 && content[content.length - 1] === 22) this.#key = key.next(this.#passed + 1);
    return content !== null && content[1] === 0 && content[content.length - 1] === 21;
  }
}

/** The keys that follow from a traffic secret (RFC 8446 section 7.3). */
class TrafficKey {
  readonly #hash: "sha256" | "sha384";
  readonly #cipher: "aes-128-gcm" | "aes-256-gcm";
  readonly #key: Buffer;
  readonly #iv: Buffer;

  /** @param first how many records passed before the first one under this key; found by trying when not given */
  constructor(readonly secret: Buffer, public first?: number) {
    const long = secret.length === 48;
    this.#hash = long ? "sha384" : "sha256";
    this.#cipher = long ? "aes-256-gcm" : "aes-128-gcm";
    this.#key = this.#expand("key", long ? 32 : 16);
    this.#iv = this.#expand("iv", 12);
  }

  /** The key after a KeyUpdate. */
  next(first: number): TrafficKey {
    return new TrafficKey(this.#expand("traffic upd", this.secret.length), first);
  }

  /** The content of the record that comes after `passed` others, with its type at the end; `null` if it can't be had. */
  open(record: Uint8Array, passed: number): Buffer | null {
    const most = Math.min(passed, mostHandshakeRecords);
    for (let first = this.first ?? 0; first <= (this.first ?? most); first++) {
      const content = this.#decrypt(record, passed - first);
      if (content === null) continue;
      this.first = first;
      return content;
    }
    return null;
  }

  #decrypt(record: Uint8Array, sequence: number): Buffer | null {
    const nonce = Buffer.from(this.#iv);
    nonce.writeBigUInt64BE(nonce.readBigUInt64BE(4) ^ BigInt(sequence), 4);
    const decipher = createDecipheriv(this.#cipher, this.#key, nonce);
    decipher.setAAD(record.subarray(0, header));
    decipher.setAuthTag(record.subarray(record.length - tag));
    try {
      return Buffer.concat([decipher.update(record.subarray(header, record.length - tag)), decipher.final()]);
    } catch {
      return null;
    }
  }

  /** HKDF-Expand-Label for at most one block of the hash, with an empty context. */
  #expand(label: string, length: number): Buffer {
    const name = `tls13 ${label}`;
    const info = [Buffer.of(0, length, name.length), Buffer.from(name), Buffer.of(0, 1)];
    return createHmac(this.#hash, this.secret).update(Buffer.concat(info)).digest().subarray(0, length);
  }
}
