/**
 * A network of the test's own: a namespace with nothing in it but loopback, gone with the last process inside.
 *
 * @module
 */
import { readlinkSync } from "node:fs";
import { type Daemon, eventually, must, start } from "./process.ts";
import { locate, type Program } from "./programs.ts";

/** A network namespace, and what is run inside. */
export interface Namespace extends AsyncDisposable {
  /** The command that runs another one inside: its own arguments follow. */
  readonly enter: readonly string[];
  /** Runs a program inside to its end, which has to be a good one. */
  must(program: Program, args: readonly string[], input?: string): ReturnType<typeof must>;
  /** Starts a server inside and waits until it has said that it is ready. */
  start(program: Program, args: readonly string[], ready: RegExp): Promise<Daemon>;
}

/** Makes a namespace whose loopback has these addresses, too. */
export async function namespace(...addresses: readonly string[]): Promise<Namespace> {
  const holder = start("unshare", ["--net", "sleep", "infinity"]);
  const network = (pid: number | string) => readlinkSync(`/proc/${pid}/ns/net`);
  const net = [`--net=/proc/${holder.pid}/ns/net`, "--"];
  const made: Namespace = {
    enter: ["nsenter", ...net],
    must: (program, args, input) => must("nsenter", [...net, locate(program), ...args], { input }),
    async start(program, args, ready) {
      const daemon = start("nsenter", [...net, locate(program), ...args]);
      let ended = false;
      daemon.exited.finally(() => ended = true).catch(() => {});
      try {
        await eventually(() => `${ready} from ${program}: ${daemon.output()}`, () => {
          if (ended) throw new Error(`${program} ended: ${daemon.output()}`);
          return ready.test(daemon.output()) || undefined;
        });
      } catch (error) {
        await daemon.stop("SIGKILL");
        throw error;
      }
      return daemon;
    },
    [Symbol.asyncDispose]: holder[Symbol.asyncDispose],
  };
  try {
    await eventually(
      () => `a network namespace, for which the tests have to be run as root: ${holder.output()}`,
      () => network(holder.pid) !== network("self") || undefined,
    );
    await made.must("ip", ["link", "set", "lo", "up"]);
    for (const address of addresses) await made.must("ip", ["address", "add", address, "dev", "lo"]);
    return made;
  } catch (error) {
    await holder.stop("SIGKILL");
    throw error;
  }
}
