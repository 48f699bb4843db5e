/**
 * The load: a target and SOCKS5 clients in one process, told what to do on its command line, answering in JSON.
 *
 *   bun bench/load.ts sessions PORT COUNT CONCURRENCY   sessions of one 64-byte round trip each
 *   bun bench/load.ts bulk PORT MIB TUNNELS             MiB from the target to the clients
 *   bun bench/load.ts idle PORT COUNT                   opens tunnels, says "open", and holds them until its input ends
 *
 * It runs on Bun, whose sockets cost least, and speaks SOCKS5 in as few bytes and writes as it can.
 *
 * @module
 */
import process from "node:process";
import type { Socket } from "bun";

const [mode, port, count, extra = "1"] = process.argv.slice(2);

interface State {
  received: number;
  phase: "greeting" | "request" | "open";
  opened(socket: Socket<State>): void;
  data(socket: Socket<State>, chunk: Uint8Array): void;
  closed(): void;
}

const mib = new Uint8Array(1 << 20).fill(7);
const ping = new Uint8Array(64).fill(1);

/** Echoes pings, and sends as many MiB as a client asks for in four bytes behind a zero. */
const target = Bun.listen<{ rest: number }>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = { rest: 0 };
    },
    data(socket, chunk) {
      if (chunk[0] !== 0) return void socket.write(chunk);
      socket.data.rest = new DataView(chunk.buffer, chunk.byteOffset).getUint32(1) * mib.length;
      pour(socket);
    },
    drain: pour,
  },
});

function pour(socket: Socket<{ rest: number }>): void {
  while (socket.data.rest > 0) {
    const size = Math.min(mib.length, socket.data.rest);
    const n = socket.write(mib, 0, size);
    if (n <= 0) return;
    socket.data.rest -= n;
    if (n < size) return;
  }
}

const request = Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, target.port >> 8, target.port & 255);

function open(handlers: Pick<State, "opened" | "data" | "closed">): Promise<Socket<State>> {
  return Bun.connect<State>({
    hostname: "127.0.0.1",
    port: Number(port),
    socket: {
      open(socket) {
        socket.data = { received: 0, phase: "greeting", ...handlers };
        socket.write(Uint8Array.of(5, 1, 0));
      },
      data(socket, chunk) {
        const state = socket.data;
        if (state.phase === "open") return state.data(socket, chunk);
        state.received += chunk.length;
        if (state.phase === "greeting" && state.received >= 2) {
          state.phase = "request";
          socket.write(request);
        } else if (state.received >= 12) {
          if (chunk[chunk.length - 9] !== 0) throw new Error("the proxy refused");
          state.phase = "open";
          state.opened(socket);
        }
      },
      close: (socket) => socket.data?.closed(),
      error: (_socket, error) => fail(error),
      connectError: (_socket, error) => fail(error),
    },
  });
}

function fail(error: unknown): void {
  console.error(error);
  process.exit(1);
}

/** Runs `Number(count)` sessions, `concurrency` at a time. */
async function sessions(concurrency: number): Promise<number> {
  let left = Number(count);
  const worker = async () => {
    while (left-- > 0) {
      await new Promise<void>((done) => {
        open({
          opened: (socket) => socket.write(ping),
          data: (socket) => socket.end(),
          closed: done,
        }).catch(fail);
      });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return Number(count);
}

/** Moves `count` MiB in all over `tunnels` tunnels. */
async function bulk(tunnels: number): Promise<number> {
  const each = Math.floor(Number(count) / tunnels);
  const ask = new Uint8Array(5);
  new DataView(ask.buffer).setUint32(1, each);
  const one = () =>
    new Promise<void>((done) => {
      let rest = each * mib.length;
      open({
        opened: (socket) => socket.write(ask),
        data: (socket, chunk) => {
          rest -= chunk.length;
          if (rest === 0) socket.end();
        },
        closed: done,
      }).catch(fail);
    });
  await Promise.all(Array.from({ length: tunnels }, one));
  return each * tunnels * mib.length;
}

async function idle(): Promise<void> {
  for (let opened = 0; opened < Number(count); opened++) {
    await new Promise<void>((done) => {
      open({ opened: () => done(), data: () => {}, closed: () => fail(new Error("a tunnel was closed")) })
        .catch(fail);
    });
  }
  console.log("open");
  for await (const _ of process.stdin);
}

const started = performance.now();
if (mode === "idle") await idle();
else {
  const done = mode === "bulk" ? await bulk(Number(extra)) : await sessions(Number(extra));
  console.log(JSON.stringify({ done, seconds: (performance.now() - started) / 1000 }));
}
process.exit(0);
