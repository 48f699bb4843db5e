/**
 * HTTP/2's way of an exchange: one stream of a client's connection (RFC 9113 section 8.1).
 *
 * @module
 */
import type { Conn } from "../core/conn.ts";
import { asProxyError } from "../core/errors.ts";
import type { Framing } from "../core/http_body.ts";
import type { Field, ResponseHead } from "../core/http_head.ts";
import { Code } from "./h2_frames.ts";
import type { H2Stream } from "./h2_stream.ts";
import { bodyFields, type Reply } from "./http_answers.ts";
import type { Downstream, Watcher } from "./http_downstream.ts";
import { finalFields, informationalFields } from "./http_response.ts";

const piece = 32 * 1024;

export class H2Downstream implements Downstream {
  readonly protocol = "h2";

  /** An answer in our own words may take `patience` milliseconds: nobody else waits for it. */
  constructor(readonly stream: H2Stream, readonly method: string, readonly patience: number) {}

  watch(watcher: Watcher): void {
    this.stream.whenLost((error) => {
      watcher.gone(asProxyError(error, { code: "closed", side: "client", stage: "relay" }));
    });
  }

  async *body(): AsyncGenerator<Uint8Array, readonly Field[]> {
    const { stream } = this;
    if (stream.body === null) return [];
    const buffer = new Uint8Array(piece);
    for (let n = await stream.read(buffer); n !== null; n = await stream.read(buffer)) {
      yield buffer.subarray(0, n);
    }
    return stream.body.trailers;
  }

  async inform(response: ResponseHead): Promise<number> {
    return await this.stream.sendFields(fieldsOf(response.status, informationalFields(response)), false);
  }

  async respond(response: ResponseHead, framing: Framing): Promise<number> {
    const streamed = framing.kind === "chunked" || framing.kind === "close";
    const fields = finalFields(response, framing, this.method, streamed);
    const empty = framing.kind === "none" || framing.kind === "length" && framing.length === 0;
    return await this.stream.sendFields(fieldsOf(response.status, fields), empty);
  }

  async send(bytes: Uint8Array): Promise<number> {
    await this.stream.write(bytes);
    return bytes.length;
  }

  async finish(trailers: readonly Field[]): Promise<number> {
    const { stream } = this;
    const sent = trailers.length > 0 && !stream.finishing ? await stream.sendFields(trailers, true) : 0;
    await stream.closeWrite();
    // What is still to come of a request that has been answered is for nobody, and cut off.
    stream.whenLost(null);
    stream.close();
    return sent;
  }

  upgrade(): Promise<Conn> {
    throw new Error("HTTP/2 has no upgrade");
  }

  async answer(reply: Reply): Promise<void> {
    const { stream } = this;
    const { status, fields, body } = reply;
    const headOnly = this.method === "HEAD" || body.length === 0;
    const timer = setTimeout(() => stream.abort(), this.patience);
    try {
      await stream.sendFields(fieldsOf(status, [...bodyFields(reply), ...fields]), headOnly);
      if (!headOnly) await stream.write(body);
      stream.close();
    } catch {
      // nobody waits for it
    } finally {
      clearTimeout(timer);
    }
  }

  abort(): void {
    this.stream.cut(Code.INTERNAL_ERROR);
  }
}

function fieldsOf(status: number, fields: readonly Field[]): Field[] {
  return [
    [":status", String(status)],
    ...fields.map(([name, value]) => [name.toLowerCase(), value] as const),
  ];
}
