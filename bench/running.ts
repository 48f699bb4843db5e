/**
 * Starts and ends what is measured: a contender on one core, the load on another.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { root } from "../tests/support/hopline.ts";
import { locate } from "../tests/support/programs.ts";
import { temporaryDirectory } from "../tests/support/temporary.ts";
import type { Contender, Place, Role } from "./contender.ts";
import { family } from "./family.ts";
import { executable } from "./runtimes.ts";
import type { Answer, Command as LoadCommand, Greeting } from "./load/main.ts";

const cores = { proxy: "0", load: "1" };
const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((child) => end(child)));
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

/** A contender that accepts connections. */
export interface Running extends Disposable {
  /** Its processes, without those that they have started. */
  readonly pids: readonly number[];
  /** From the start of the last of its programs to the first connection that it took. */
  readonly startSeconds: number;
}

/** The process that makes the load. */
export interface Generator extends Disposable {
  readonly targets: Greeting;
  perform(command: LoadCommand): Promise<Answer>;
}

/** Starts a contender in a role, and waits until its ports are open. */
export async function run(contender: Contender, role: Role, place: Place): Promise<Running> {
  const commands = contender.roles[role]!(place);
  const children: ChildProcess[] = [];
  const dispose = () => children.forEach((child) => end(child));
  try {
    let startSeconds = 0;
    for (const [index, [program, ...args]] of commands.entries()) {
      const log = place.directory.join(`output-${index}`);
      const began = performance.now();
      const child = pinned(cores.proxy, program, args, log);
      children.push(child);
      await listening(index < commands.length - 1 ? place.inner : place.port, child, log);
      startSeconds = (performance.now() - began) / 1000;
    }
    return { pids: children.map(({ pid }) => pid!), startSeconds, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Starts the load. */
export async function generator(): Promise<Generator> {
  const directory = temporaryDirectory();
  const log = directory.join("load");
  const child = pinned(cores.load, executable("bun"), [join(root, "bench/load/main.ts")], log, true);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async (seconds: number) => {
    const line = await Promise.race([lines.next(), delay(seconds * 1000, undefined, { ref: false })]);
    if (line === undefined) throw new Error(`the load had not answered after ${seconds} seconds`);
    if (line.done) throw new Error(`the load ended: ${readFileSync(log, "utf8").slice(-2000)}`);
    return JSON.parse(line.value);
  };
  const dispose = () => {
    end(child);
    directory[Symbol.dispose]();
  };
  try {
    const targets: Greeting = await next(20);
    return {
      targets,
      perform(command) {
        child.stdin!.write(JSON.stringify(command) + "\n");
        return next(command.bounds.seconds + (command.load === "open" || command.load === "burst" ? 60 : 15));
      },
      [Symbol.dispose]: dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Its output goes to a file, because nobody has time to read it. As many descriptors as there can be. */
function pinned(
  core: string,
  program: string,
  args: readonly string[],
  log: string,
  piped = false,
): ChildProcess {
  const output = openSync(log, "a");
  const script = 'ulimit -n "$(ulimit -Hn)"; exec taskset -c "$@"';
  const child = spawn("sh", ["-c", script, "sh", core, locate(program), ...args], {
    stdio: piped ? ["pipe", "pipe", output] : ["ignore", output, output],
    cwd: root,
  });
  closeSync(output);
  child.on("error", () => {});
  living.add(child);
  child.once("exit", () => living.delete(child));
  return child;
}

/** Ends a process and everything that it has started, by their ids: parents first, who might replace a child. */
function end(child: ChildProcess): void {
  if (!living.has(child) || child.pid === undefined) return;
  for (const pid of family([child.pid])) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has just ended by itself.
    }
  }
}

async function listening(port: number, child: ChildProcess, log: string): Promise<void> {
  for (const patience = Date.now() + 20_000; Date.now() < patience; await delay(2)) {
    if (await accepts(port)) return;
    if (child.exitCode !== null || child.signalCode !== null) break;
  }
  throw new Error(`did not listen: ${readFileSync(log, "utf8").trim().slice(-500)}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      answer(true);
    });
    socket.once("error", () => answer(false));
  });
}
