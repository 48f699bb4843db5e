/**
 * What is done with tunnels: sessions, bulk, round trips, and nothing at all. Everything ends at a count or after a time,
 * whichever comes first.
 *
 * @module
 */
import { Latencies, type Percentiles } from "./latencies.ts";
import { arrived, mib } from "./target.ts";
import { open, type Tunnel, type Way } from "./tunnel.ts";

/** What came of a load. */
export interface Outcome extends Partial<Percentiles> {
  /** Sessions, round trips, requests, tunnels or bytes. */
  readonly done: number;
  /** Tunnels that did not open, or broke. */
  readonly failed: number;
}

/** How much, at most. */
export interface Bounds {
  readonly count: number;
  readonly seconds: number;
  /** Tunnels at a time. */
  readonly tunnels: number;
}

const ping = new Uint8Array(64).fill("E".charCodeAt(0));

/** Sessions one after another in each of `tunnels` lanes: a handshake, one round trip of 64 bytes, the end. */
export async function sessions(way: Way, { count, seconds, tunnels }: Bounds): Promise<Outcome> {
  const latencies = new Latencies();
  const end = performance.now() + seconds * 1000;
  let [left, done, failed] = [count, 0, 0];
  const session = () =>
    new Promise<void>((next) => {
      const began = performance.now();
      let echoed = 0;
      open(way, {
        opened: (socket) => void socket.write(ping),
        data(socket, chunk) {
          echoed += chunk.length;
          if (echoed === ping.length) socket.end();
        },
        closed() {
          if (echoed === ping.length) done++;
          else failed++;
          latencies.add(performance.now() - began);
          next();
        },
      });
    });
  const lane = async () => {
    while (left-- > 0 && performance.now() < end) await session();
  };
  await Promise.all(Array.from({ length: tunnels }, lane));
  return { done, failed, ...latencies.percentiles() };
}

/** Bytes moved over `tunnels` tunnels that are all open before the first byte moves. `count` is not looked at. */
export async function bulk(way: Way, direction: "down" | "up" | "both", bounds: Bounds): Promise<Outcome> {
  const letter = { down: "D", up: "U", both: "B" }[direction];
  let received = 0;
  const push = (socket: Tunnel) => {
    while (socket.write(mib) === mib.length);
  };
  const tunnels = await openAll(way, bounds.tunnels, {
    data: (_socket, chunk) => received += chunk.length,
    drain: direction === "down" ? undefined : push,
  });
  arrived.bytes = 0;
  for (const socket of tunnels.open) {
    socket.write(letter);
    if (direction !== "down") push(socket);
  }
  await Bun.sleep(bounds.seconds * 1000);
  // On a busy machine a very short load may end before it has begun.
  for (let patience = 1000; received + arrived.bytes === 0 && patience > 0; patience--) await Bun.sleep(5);
  const done = received + arrived.bytes;
  const failed = tunnels.failed();
  tunnels.close();
  return { done, failed };
}

/** Round trips of 64 bytes, one at a time in each tunnel. */
export async function roundTrips(way: Way, { count, seconds, tunnels }: Bounds): Promise<Outcome> {
  const latencies = new Latencies();
  const trips = new Map<Tunnel, { began: number; echoed: number }>();
  let [left, done, end] = [count, 0, 0];
  const all = await openAll(way, tunnels, {
    data(socket, chunk) {
      const trip = trips.get(socket)!;
      trip.echoed += chunk.length;
      if (trip.echoed < ping.length) return;
      const now = performance.now();
      latencies.add(now - trip.began);
      done++;
      if (--left > 0 && now < end) begin(socket, now);
    },
  });
  const begin = (socket: Tunnel, now: number) => {
    trips.set(socket, { began: now, echoed: 0 });
    socket.write(ping);
  };
  const began = performance.now();
  end = began + seconds * 1000;
  for (const socket of all.open) begin(socket, performance.now());
  while (performance.now() < end && left > 0) await Bun.sleep(5);
  const outcome = { done, failed: all.failed(), ...latencies.percentiles() };
  all.close();
  return outcome;
}

/** Tunnels that stay open until the process ends; each can be made to move some bytes both ways. */
export class Idle {
  #tunnels: OpenTunnels | undefined;
  #waiting = new Map<Tunnel, { left: number; done: () => void }>();

  async open(way: Way, { count }: Bounds): Promise<Outcome> {
    this.#tunnels = await openAll(way, count, {
      data: (socket, chunk) => {
        const waiting = this.#waiting.get(socket)!;
        waiting.left -= chunk.length;
        if (waiting.left === 0) waiting.done();
      },
    });
    return { done: this.#tunnels.open.length, failed: this.#tunnels.failed() };
  }

  /** 32 KiB each way through every tunnel, 32 of them at a time. */
  async burst(): Promise<Outcome> {
    const burst = new Uint8Array(32 << 10).fill("E".charCodeAt(0));
    const queue = [...this.#tunnels!.open];
    const lane = async () => {
      for (let socket = queue.pop(); socket !== undefined; socket = queue.pop()) {
        const { promise, resolve: done } = Promise.withResolvers<void>();
        this.#waiting.set(socket, { left: burst.length, done });
        if (socket.write(burst) < burst.length) throw new Error("a socket buffer holds less than 32 KiB");
        await promise;
      }
    };
    await Promise.all(Array.from({ length: 32 }, lane));
    return { done: this.#tunnels!.open.length, failed: this.#tunnels!.failed() };
  }
}

interface OpenTunnels {
  readonly open: readonly Tunnel[];
  failed(): number;
  close(): void;
}

/** Opens so many, 32 at a time, and waits until each of them is open or has failed. */
async function openAll(
  way: Way,
  count: number,
  handlers: { data(socket: Tunnel, chunk: Uint8Array): void; drain?(socket: Tunnel): void },
): Promise<OpenTunnels> {
  const tunnels: Tunnel[] = [];
  let [left, failed, closing] = [count, 0, false];
  const one = () =>
    new Promise<void>((next) => {
      open(way, {
        ...handlers,
        opened(socket) {
          tunnels.push(socket);
          next();
        },
        closed() {
          if (!closing) failed++;
          next();
        },
      });
    });
  const lane = async () => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: Math.min(count, 32) }, lane));
  return {
    open: tunnels,
    failed: () => failed,
    close() {
      closing = true;
      for (const socket of tunnels) socket.terminate();
    },
  };
}
