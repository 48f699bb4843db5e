/**
 * The records of TLS, as they can be followed without its keys.
 *
 * @module
 */
import { ProxyError, type Side } from "./errors.ts";

/** The content type of an alert, and of everything that TLS 1.3 encrypts (RFC 8446 section 5.1). */
const alert = 21;
const encrypted = 23;
/** What TLS 1.3 adds to a record's content: a byte that tells its type, and the tag of all its ciphers. */
const overhead = 1 + 16;
/** How long an alert is. */
const alertLength = 2;
/** How long the message is that ends a handshake, at least: a header and a hash (RFC 8446 section 4.4.4). */
const shortestFinished = 4 + 32;

/**
 * Follows record headers (RFC 8446 section 5.1) to tell a close_notify from a connection that was cut.
 *
 * In TLS 1.3 a record of two bytes of data looks like an alert. Whoever knows how much data came out of the records
 * says so, and the two are told apart.
 */
export class RecordWatch {
  #header: number[] = [];
  #rest = 0;
  #type = 0;
  #length = 0;
  /** Of the chunk that came last: the content of each record that it completed, and the data that came of it. */
  #contents: number[] = [];
  #opened = 0;
  /** The handshake went on when that chunk came. */
  #mixed = true;
  #begun = false;
  /** Alerts are encrypted with their type. */
  #hidden = true;

  see(chunk: Uint8Array): void {
    this.#contents.length = 0;
    this.#opened = 0;
    this.#mixed = !this.#begun;
    for (let at = 0; at < chunk.length;) {
      if (this.#rest > 0) {
        const step = Math.min(this.#rest, chunk.length - at);
        this.#rest -= step;
        at += step;
      } else {
        this.#header.push(chunk[at++]);
        if (this.#header.length < 5) continue;
        const [type, , , high, low] = this.#header;
        this.#header.length = 0;
        this.#type = type;
        this.#length = this.#rest = high << 8 | low;
      }
      if (this.#rest === 0) this.#contents.push(this.#type === encrypted ? this.#length - overhead : 0);
    }
  }

  /** The records of the last chunk have completed the handshake, in which this version was agreed on. */
  begin(version: string): void {
    this.#begun = true;
    this.#hidden = version === "TLSv1.3";
  }

  /** So many bytes of data have come out of the records of the last chunk. */
  opened(n: number): void {
    this.#opened += n;
  }

  /** The last record was whole, and an alert. */
  get closed(): boolean {
    if (this.#rest > 0 || this.#header.length > 0) return false;
    return this.#type === alert ||
      this.#hidden && this.#length === alertLength + overhead && !this.#wasData();
  }

  /** Whether the last record's content is among the data that came of its chunk. */
  #wasData(): boolean {
    const contents = this.#contents;
    if (!this.#mixed) return this.#opened > sum(contents) - alertLength;
    // The data is what came behind the handshake's last record, whose length nobody tells.
    return contents.some((length, at) =>
      length >= shortestFinished && sum(contents.slice(at + 1)) === this.#opened
    );
  }
}

function sum(lengths: readonly number[]): number {
  return lengths.reduce((all, length) => all + length, 0);
}

/** What to throw where an end was not announced: it may be an attacker's, and what came so far not the whole. */
export function truncated(side: Side): ProxyError {
  return new ProxyError("the TLS connection was cut: it ended without a close_notify", {
    code: "closed",
    side,
    stage: "relay",
  });
}
