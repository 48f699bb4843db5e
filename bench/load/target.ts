/**
 * The target of every tunnel, and of plain requests. It is in the same process as the clients, so that both sides count
 * into the same place.
 *
 * The first byte of a tunnel says what the target does: `D` pours to the client until it closes, `U` counts what comes,
 * `B` both; everything else is echoed, that byte included.
 *
 * Its `hops` pretend to be so many SOCKS5 proxies and the target in one: a chain over one connection is one handshake
 * after another, and this way no second proxy takes part in what is measured of the first.
 *
 * @module
 */
import type { Socket } from "bun";
import { Buffer } from "node:buffer";
import { freePort } from "../../tests/support/temporary.ts";

/** Bytes that reached the target in tunnels that began with `U` or `B`. */
export const arrived = { bytes: 0 };

/** The bytes of a bulk transfer. */
export const mib: Uint8Array = new Uint8Array(1 << 20).fill(7);

/** Where the targets listen, all on 127.0.0.1. */
export interface Targets {
  readonly tunnel: number;
  readonly http: number;
  /** One hop and the target, three hops and the target. */
  readonly hop1: number;
  readonly hop3: number;
}

interface Served {
  /** Handshakes still to come, two messages each. */
  messages: number;
  /** The beginning of a message that came in pieces. */
  head: Uint8Array;
  mode: number;
  /** What the client did not take yet. */
  rest: Uint8Array | undefined;
}

const [echo, pouring, sink, both] = [..."EDUB"].map((letter) => letter.charCodeAt(0));
const nothing = new Uint8Array(0);
const method = Uint8Array.of(5, 0);
const success = Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0);

/** Starts all of them. Their ports are none that the system gives, all of which may wait for their last segments. */
export async function listen(): Promise<Targets> {
  return {
    tunnel: tunnels(await freePort(), 0),
    hop1: tunnels(await freePort(), 1),
    hop3: tunnels(await freePort(), 3),
    http: http(await freePort()),
  };
}

function tunnels(port: number, hops: number): number {
  return Bun.listen<Served>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.data = { messages: 2 * hops, head: nothing, mode: 0, rest: undefined };
      },
      data(socket, chunk) {
        if (socket.data.messages > 0) return handshake(socket, chunk);
        serve(socket, chunk);
      },
      drain(socket) {
        const { mode, rest } = socket.data;
        if (mode === pouring || mode === both) return pour(socket);
        if (rest === undefined) return;
        socket.data.rest = undefined;
        reply(socket, rest);
        if (socket.data.rest === undefined) socket.resume();
      },
    },
  }).port;
}

function serve(socket: Socket<Served>, chunk: Uint8Array): void {
  const state = socket.data;
  if (state.mode === 0) {
    state.mode = [pouring, sink, both].includes(chunk[0]) ? chunk[0] : echo;
    if (state.mode === pouring || state.mode === both) pour(socket);
  }
  if (state.mode === echo) {
    reply(socket, chunk);
    if (state.rest !== undefined) socket.pause();
  } else if (state.mode !== pouring) arrived.bytes += chunk.length;
}

function reply(socket: Socket<Served>, bytes: Uint8Array): void {
  const n = Math.max(0, socket.write(bytes));
  if (n < bytes.length) socket.data.rest = bytes.slice(n);
}

function pour(socket: Socket<Served>): void {
  while (socket.write(mib) === mib.length);
}

/** A server's side of SOCKS5, which lets everybody in and says yes to everything. */
function handshake(socket: Socket<Served>, chunk: Uint8Array): void {
  const state = socket.data;
  let bytes: Uint8Array = Buffer.concat([state.head, chunk]);
  while (state.messages > 0) {
    const greeting = state.messages % 2 === 0;
    const length = greeting ? 2 + (bytes[1] ?? 0) : requestLength(bytes);
    if (bytes.length < Math.max(2, length)) return void (state.head = bytes);
    socket.write(greeting ? method : success);
    bytes = bytes.subarray(length);
    state.messages--;
  }
  state.head = nothing;
  if (bytes.length > 0) serve(socket, bytes);
}

function requestLength(bytes: Uint8Array): number {
  if (bytes.length < 5) return 10;
  return bytes[3] === 1 ? 10 : bytes[3] === 4 ? 22 : 7 + bytes[4];
}

/** Answers every request without a body with one KiB, and closes when the request says so. */
function http(port: number): number {
  const head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: 1024\r\n";
  const [answer, last] = ["\r\n", "Connection: close\r\n\r\n"].map((end) =>
    Buffer.from(head + end + "x".repeat(1024))
  );
  return Bun.listen<{ text: string }>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.data = { text: "" };
      },
      data(socket, chunk) {
        const text = socket.data.text += Buffer.from(chunk).toString("latin1");
        if (!text.endsWith("\r\n\r\n")) return;
        socket.data.text = "";
        if (/ HTTP\/1\.0\r\n|\r\nconnection: close\r\n/i.test(text)) socket.end(last);
        else socket.write(answer);
      },
    },
  }).port;
}
