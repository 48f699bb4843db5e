/**
 * One end of a connection on which HTTP is spoken by hand, and a second, naive reading of its messages, so that
 * nothing of Hopline judges itself.
 *
 * @module
 */
import { connect, createServer, type Socket } from "node:net";
import type { Endpoint } from "../../src/core/conn.ts";
import { concat } from "../support/bytes.ts";
import { listen } from "../support/origins.ts";
import { eventually } from "../support/process.ts";

/** One message: its head as text (one character a byte), its fields, its body. */
export interface Message {
  readonly head: string;
  /** The request line or status line. */
  readonly first: string;
  /** The values of a field, in any case. */
  all(name: string): string[];
  /** The only value of a field; fails when it is repeated. */
  field(name: string): string | undefined;
  readonly body: Uint8Array;
  readonly text: string;
  readonly trailers: string;
  /** The sizes of the chunks it came in. */
  readonly chunks: number[];
}

const latin1 = (bytes: Uint8Array) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

/** How a connection ends that Hopline has aborted: Deno has no way to ask for a reset. */
export const aborted: "fin" | "reset" = "Bun" in globalThis ? "reset" : "fin";

export class Talk implements Disposable {
  #received: Uint8Array[] = [];
  #size = 0;
  #ending: "fin" | "reset" | undefined;

  constructor(readonly socket: Socket) {
    socket.on("data", (chunk: Uint8Array) => {
      this.#received.push(chunk);
      this.#size += chunk.length;
    });
    socket.on("end", () => this.#ending ??= "fin");
    socket.on("error", () => this.#ending ??= "reset");
    socket.on("close", () => this.#ending ??= "fin");
  }

  static async to({ hostname, port }: Endpoint): Promise<Talk> {
    const socket = connect({ host: hostname, port, allowHalfOpen: true, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
    });
    return new Talk(socket);
  }

  /** Sends text, one byte a character, or bytes. */
  send(...parts: readonly (string | Uint8Array)[]): void {
    const bytes = parts.map((part) =>
      typeof part === "string" ? Uint8Array.from(part, (character) => character.charCodeAt(0)) : part
    );
    this.socket.write(concat(...bytes));
  }

  get received(): Uint8Array {
    if (this.#received.length !== 1) this.#received = [concat(...this.#received)];
    return this.#received[0];
  }

  get size(): number {
    return this.#size;
  }

  get alive(): boolean {
    return this.#ending === undefined;
  }

  take(n: number): Uint8Array {
    const all = this.received;
    this.#received = [all.slice(n)];
    this.#size = all.length - n;
    return all.slice(0, n);
  }

  async #until(met: () => boolean, what: string): Promise<void> {
    await eventually(() => `${what}; there came ${latin1(this.received).slice(0, 2000)}`, () => {
      if (met()) return true;
      if (this.#ending === undefined) return undefined;
      throw new Error(`waited for ${what}; it ended (${this.#ending}) after ${latin1(this.received)}`);
    });
  }

  async read(n: number): Promise<Uint8Array> {
    await this.#until(() => this.#size >= n, `${n} bytes`);
    return this.take(n);
  }

  async through(mark: string): Promise<string> {
    const end = () => latin1(this.received).indexOf(mark);
    await this.#until(() => end() >= 0, JSON.stringify(mark));
    return latin1(await this.read(end() + mark.length));
  }

  async ending(): Promise<"fin" | "reset"> {
    return await eventually(() => `the end, after ${latin1(this.received)}`, () => this.#ending);
  }

  /** Everything up to the end. */
  async rest(): Promise<string> {
    await this.ending();
    return latin1(this.received);
  }

  /** The next message; `bodiless` for a response to HEAD, `toEnd` for one that ends with the connection. */
  async message({ bodiless = false, toEnd = false } = {}): Promise<Message> {
    const head = await this.through("\r\n\r\n");
    const [first, ...lines] = head.slice(0, -4).split("\r\n");
    const fields = lines.map((line) => {
      const [, name, value] = /^([^:\s]+): ?(.*)$/s.exec(line) ?? [];
      if (name === undefined || /[\r\n\0]/.test(line)) throw new Error(`${JSON.stringify(line)} is no field`);
      return [name.toLowerCase(), value] as const;
    });
    const all = (name: string) =>
      fields.filter(([key]) => key === name.toLowerCase()).map(([, value]) => value);
    const field = (name: string) => {
      const [value, ...others] = all(name);
      if (others.length > 0) throw new Error(`${name} stands more than once in ${head}`);
      return value;
    };
    let body: Uint8Array = new Uint8Array(0);
    let trailers = "";
    const chunks: number[] = [];
    const length = field("content-length");
    const coding = field("transfer-encoding");
    if (length !== undefined && coding !== undefined) throw new Error(`two lengths in ${head}`);
    const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(first)?.[1] ?? NaN);
    if (bodiless || status < 200 || status === 204 || status === 304) {
      // nothing follows
    } else if (coding !== undefined) {
      const parts: Uint8Array[] = [];
      for (;;) {
        const line = await this.through("\r\n");
        const size = parseInt(line, 16);
        if (!/^[0-9a-f]+\r\n$/i.test(line)) throw new Error(`${JSON.stringify(line)} is no chunk's size`);
        if (size === 0) break;
        chunks.push(size);
        parts.push(await this.read(size));
        if (latin1(await this.read(2)) !== "\r\n") throw new Error("a chunk is longer than its size");
      }
      for (let line; (line = await this.through("\r\n")) !== "\r\n";) trailers += line;
      body = concat(...parts);
    } else if (length !== undefined) body = await this.read(Number(length));
    else if (toEnd) {
      await this.ending();
      body = this.take(this.#size);
    }
    return { head, first, all, field, body, text: latin1(body), trailers, chunks };
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** A server whose behaviour is a script, and everything that came to it. */
export interface Origin extends AsyncDisposable, Endpoint {
  /** `host:port`. */
  readonly at: string;
  /** Its connections, in order. */
  readonly talks: readonly Talk[];
  /** The requests that it read, in order, with the number of their connection. */
  readonly requests: readonly (Message & { readonly connection: number })[];
}

/** What a server says to a request: bytes, after which the connection goes on, or what it does itself. */
export type Script = (request: Message, talk: Talk) => string | Promise<string | void> | void;

/** `200` with a body. */
export function ok(body = "ok", fields = ""): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`;
}

/** Answers requests one after another. */
export function origin(script: Script = () => ok()): Promise<Origin> {
  return server(async (talk, connection, requests) => {
    for (;;) {
      const message = await talk.message();
      requests.push({ ...message, connection });
      const answer = await script(message, talk);
      if (typeof answer === "string") talk.send(answer);
    }
  });
}

/** Serves each connection with `script`, whatever it does. */
export async function server(
  script: (
    talk: Talk,
    connection: number,
    requests: (Message & { connection: number })[],
  ) => Promise<void> | void,
): Promise<Origin> {
  const talks: Talk[] = [];
  const requests: (Message & { connection: number })[] = [];
  const listening = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const talk = new Talk(socket);
    const connection = talks.push(talk) - 1;
    Promise.resolve(script(talk, connection, requests)).catch(() => socket.destroy());
  });
  const served = await listen(listening);
  return { ...served, at: served.address, talks, requests };
}
