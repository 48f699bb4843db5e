/**
 * A program that serves a port: handed out when it accepts connections, gone together with its files when it is
 * disposed of, and never left behind when it does not start.
 *
 * @module
 */
import { connect } from "node:net";
import { type Daemon, eventually } from "./process.ts";
import type { Directory } from "./temporary.ts";

/** A server of another make, in the foreground. */
export interface Served extends AsyncDisposable {
  readonly hostname: string;
  readonly port: number;
  /** `host:port`. */
  readonly address: string;
  /** What it has written about its connections so far. */
  journal(): string;
}

/** What there is before it is ready. */
export interface Starting {
  readonly daemon: Daemon;
  readonly hostname?: string;
  readonly port: number;
  /** Where its configuration lies. */
  readonly directory?: Directory;
  /** The signal that ends it soonest without leaving a child behind. */
  readonly ending?: NodeJS.Signals;
}

/** Waits until the server accepts connections; its last words are the error when it ends instead. */
export async function served(starting: Starting): Promise<Served> {
  const { daemon, hostname = "127.0.0.1", port, directory, ending } = starting;
  const gone = async () => {
    await daemon.stop(ending);
    directory?.[Symbol.dispose]();
  };
  let ended = false;
  daemon.exited.finally(() => ended = true).catch(() => {});
  try {
    await eventually(() => `port ${port} of process ${daemon.pid}: ${daemon.output()}`, async () => {
      if (ended) throw new Error(`the server for port ${port} ended: ${daemon.output()}`);
      return await accepts(hostname, port) || undefined;
    });
  } catch (error) {
    await gone();
    throw error;
  }
  return {
    hostname,
    port,
    address: `${hostname}:${port}`,
    journal: daemon.output,
    [Symbol.asyncDispose]: gone,
  };
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
