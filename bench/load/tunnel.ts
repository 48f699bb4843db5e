/**
 * A client's side of a tunnel, in as few bytes and writes as the protocol needs, none before its turn.
 *
 * @module
 */
import type { Socket } from "bun";
import { Buffer } from "node:buffer";

/** How a client reaches the target. */
export interface Way {
  /** `tcp`: whoever listens there leads to the target unasked. */
  readonly protocol: "socks5" | "http" | "tcp";
  readonly tls: boolean;
  readonly port: number;
  /** The target's port on 127.0.0.1. */
  readonly target: number;
}

/** What becomes of a tunnel. */
export interface Handlers {
  opened(socket: Tunnel): void;
  data?(socket: Tunnel, chunk: Uint8Array): void;
  drain?(socket: Tunnel): void;
  /** Once, when the connection has ended, and when it never came about. */
  closed(opened: boolean): void;
}

/** A client's socket. */
export type Tunnel = Socket<State>;

interface State {
  readonly way: Way;
  readonly handlers: Handlers;
  phase: "greeting" | "request" | "open" | "closed";
  head: Uint8Array;
}

const nothing = new Uint8Array(0);
const greeting = Uint8Array.of(5, 1, 0);
const requests = new Map<number, Uint8Array>();

/** Opens a tunnel; everything else is told to the handlers. */
export function open(way: Way, handlers: Handlers): void {
  const state: State = { way, handlers, phase: "greeting", head: nothing };
  Bun.connect<State>({
    hostname: "127.0.0.1",
    port: way.port,
    tls: way.tls ? { rejectUnauthorized: false } : undefined,
    data: state,
    socket: way.tls ? { ...callbacks, open: () => {}, handshake: begin } : callbacks,
  }).catch(() => finish(state));
}

const callbacks = {
  open: begin,
  data(socket: Tunnel, chunk: Uint8Array): void {
    const state = socket.data;
    if (state.phase === "open") return state.handlers.data?.(socket, chunk);
    state.head = state.head.length === 0 ? chunk.slice() : Buffer.concat([state.head, chunk]);
    if (state.way.protocol === "http") answered(socket, state.head);
    else replied(socket, state.head);
  },
  drain(socket: Tunnel): void {
    if (socket.data.phase === "open") socket.data.handlers.drain?.(socket);
  },
  close: (socket: Tunnel): void => finish(socket.data),
  error: (socket: Tunnel): void => finish(socket.data),
  connectError: (socket: Tunnel): void => finish(socket.data),
};

function begin(socket: Tunnel): void {
  const { protocol, target } = socket.data.way;
  if (protocol === "tcp") return opened(socket);
  if (protocol === "socks5") return void socket.write(greeting);
  socket.write(`CONNECT 127.0.0.1:${target} HTTP/1.1\r\nHost: 127.0.0.1:${target}\r\n\r\n`);
}

function replied(socket: Tunnel, head: Uint8Array): void {
  const state = socket.data;
  if (state.phase === "greeting") {
    if (head.length < 2) return;
    if (head[1] !== 0) return void socket.terminate();
    state.phase = "request";
    state.head = nothing;
    socket.write(request(state.way.target));
  } else if (head.length >= 5 && head.length >= (head[3] === 4 ? 22 : head[3] === 1 ? 10 : 7 + head[4])) {
    if (head[1] !== 0) return void socket.terminate();
    opened(socket);
  }
}

function answered(socket: Tunnel, head: Uint8Array): void {
  const text = Buffer.from(head).toString("latin1");
  if (!text.endsWith("\r\n\r\n")) return;
  if (!/^HTTP\/1\.\d 200 /.test(text)) return void socket.terminate();
  opened(socket);
}

function opened(socket: Tunnel): void {
  socket.data.phase = "open";
  socket.data.head = nothing;
  socket.data.handlers.opened(socket);
}

function finish(state: State): void {
  if (state.phase === "closed") return;
  const opened = state.phase === "open";
  state.phase = "closed";
  state.handlers.closed(opened);
}

function request(port: number): Uint8Array {
  let bytes = requests.get(port);
  if (bytes === undefined) {
    requests.set(port, bytes = Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255));
  }
  return bytes;
}
