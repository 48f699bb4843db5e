/**
 * Bytes for connections: what to send, and whether that is what came.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Conn } from "../../src/core/conn.ts";

/** A little under 1 MiB, so that no chunk, buffer or record is in step with it. */
const block = new Uint8Array(randomBytes((1 << 20) - 3));

const mostBuffer = (name: string) =>
  Number(readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8").trim().split(/\s+/)[2]);

/**
 * The most bytes that the kernel keeps of a direction through two connections: what both senders have written, what
 * the one between them reads, fast at first and so with a buffer that grows, and a little for the reader that stalls.
 */
export function keptByKernel(received = mostBuffer("tcp_rmem")): number {
  return received + 2 * mostBuffer("tcp_wmem") + (1 << 20);
}

/** `n` bytes that repeat only after most of a MiB, in pieces. */
export function* pattern(n: number, piece = block.length): Generator<Uint8Array> {
  for (let at = 0; at < n;) {
    const from = at % block.length;
    const bytes = block.subarray(from, Math.min(from + piece, block.length, from + n - at));
    yield bytes;
    at += bytes.length;
  }
}

/** The pattern's first `n` bytes as one. */
export function bytes(n: number): Uint8Array {
  const whole = new Uint8Array(n);
  let at = 0;
  for (const piece of pattern(n)) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Sends the pattern's first `n` bytes, and the end. */
export async function send(conn: Conn, n: number, piece?: number): Promise<void> {
  for (const bytes of pattern(n, piece)) await conn.write(bytes);
  await conn.closeWrite();
}

/** How fast to read. */
export interface Reading {
  /** The size of the reader's buffer. */
  readonly buffer?: number;
  /** After how many bytes to rest for a moment. */
  readonly restEvery?: number;
}

/** Reads to the end and checks that what came is the pattern's first `n` bytes. */
export async function expectPattern(conn: Conn, n: number, reading: Reading = {}): Promise<void> {
  const wanted = createHash("sha256");
  for (const piece of pattern(n)) wanted.update(piece);
  const came = createHash("sha256");
  let total = 0;
  await readAll(conn, (chunk) => {
    came.update(chunk);
    total += chunk.length;
  }, reading);
  assertEquals(total, n, "how many bytes came before the end");
  assertEquals(came.digest("hex"), wanted.digest("hex"), "what they hash to");
}

/** Reads to the end; `chunk` is only valid during the call. */
export async function readAll(
  conn: Conn,
  take: (chunk: Uint8Array) => void,
  { buffer = 64 * 1024, restEvery = Infinity }: Reading = {},
): Promise<void> {
  const p = new Uint8Array(buffer);
  let sinceRest = 0;
  for (;;) {
    const n = await conn.read(p);
    if (n === null) return;
    if (n === 0) throw new Error("a read gave no byte");
    take(p.subarray(0, n));
    sinceRest += n;
    if (sinceRest < restEvery) continue;
    sinceRest = 0;
    await rest(1);
  }
}

/** Everything up to the end, as text. */
export async function readText(conn: Conn, reading?: Reading): Promise<string> {
  let text = "";
  await readAll(conn, (chunk) => text += new TextDecoder().decode(chunk), reading);
  return text;
}

/** Reads exactly `n` bytes, as text. */
export async function readExactly(conn: Conn, n: number): Promise<string> {
  const p = new Uint8Array(n);
  for (let at = 0; at < n;) {
    const got = await conn.read(p.subarray(at));
    if (got === null) throw new Error(`the connection ended after ${at} bytes of ${n}`);
    at += got;
  }
  return new TextDecoder().decode(p);
}

/** Writes a text. */
export function writeText(conn: Conn, text: string): Promise<void> {
  return conn.write(new TextEncoder().encode(text));
}

/** What becomes of a promise: `"value"`, `"error"`, or `"pending"` after `ms`. */
export async function outcome(promise: Promise<unknown>, ms: number): Promise<"value" | "error" | "pending"> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"pending">((resolve) => timer = setTimeout(() => resolve("pending"), ms));
  const done = promise.then(() => "value" as const, () => "error" as const);
  return await Promise.race([done, late]).finally(() => clearTimeout(timer));
}

/** How a reader sees a connection's end: as such, or as an error. */
export async function ending(conn: Conn): Promise<"end" | "error"> {
  return await readAll(conn, () => {}).then(() => "end" as const, () => "error" as const);
}

/** Waits `ms`. */
export function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
