/**
 * Child processes: clients that run to their end, and servers that stay until they are stopped. Every one of
 * them is ended by its own process id, whatever becomes of the test that started it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { locate, type Program } from "./programs.ts";

/** What a client left behind. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** How a process is started. */
export interface RunOptions {
  /** Written to its standard input, which is then closed. */
  readonly input?: string | Uint8Array;
  /** Variables on top of a small, fixed environment: no proxy of this machine may reach a client. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Milliseconds until it is killed and the test fails. */
  readonly timeout?: number;
}

/** A server in the foreground; disposing of it ends it. */
export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  /** Its process has ended, with this exit code (`null` after a signal). */
  readonly exited: Promise<number | null>;
  /** Everything that it wrote so far, both streams. */
  output(): string;
  /** Calls back for every chunk of its standard error from the start. */
  onError(listener: (chunk: string) => void): void;
  /** Sends a signal (SIGTERM); SIGKILL follows when that changes nothing in `patience` milliseconds. */
  stop(signal?: NodeJS.Signals, patience?: number): Promise<number | null>;
}

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((child) => child.kill("SIGKILL")));

/** Runs a program to its end. */
export async function run(
  program: Program | string,
  args: readonly string[],
  { input, timeout = 30_000, ...options }: RunOptions = {},
): Promise<Finished> {
  const child = begin(program, args, options);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout!.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr!.on("data", (chunk: Buffer) => stderr.push(chunk));
  // A client that has given up no longer reads; its exit code tells, not our broken pipe.
  child.stdin!.on("error", () => {});
  child.stdin!.end(input);
  let late = false;
  const alarm = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeout);
  const code = await ended(child, "close");
  clearTimeout(alarm);
  const finished = { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
  if (late) {
    throw new Error(`${program} ${args.join(" ")}\nhad not ended after ${timeout} ms: ${finished.stderr}`);
  }
  return finished;
}

/** As {@linkcode run}, for what has to succeed. */
export async function must(
  program: Program | string,
  args: readonly string[],
  options?: RunOptions,
): Promise<Finished> {
  const finished = await run(program, args, options);
  if (finished.code === 0) return finished;
  const said = finished.stderr + finished.stdout.subarray(0, 2000);
  throw new Error(`${program} ${args.join(" ")}\nended with ${finished.code}: ${said}`);
}

/** Starts a server in the foreground. */
export function start(
  program: Program | string,
  args: readonly string[],
  options: Pick<RunOptions, "env" | "cwd"> = {},
): Daemon {
  const child = begin(program, args, options);
  const chunks: Buffer[] = [];
  const keep = (chunk: Buffer) => void chunks.push(chunk);
  child.stdout!.on("data", keep);
  child.stderr!.on("data", keep);
  child.stdin!.end();
  // Not "close": a child that it left behind may hold its output open for as long as it likes.
  const exited = ended(child, "exit");
  const daemon: Daemon = {
    pid: child.pid!,
    exited,
    output: () => Buffer.concat(chunks).toString(),
    onError: (listener) => void child.stderr!.on("data", (chunk: Buffer) => listener(chunk.toString())),
    async stop(signal = "SIGTERM", patience = 5000) {
      // Not `child.kill`: after that, Deno reports a signal whatever the exit code was.
      if (living.has(child)) process.kill(child.pid!, signal);
      const alarm = setTimeout(() => child.kill("SIGKILL"), patience);
      const code = await exited;
      clearTimeout(alarm);
      return code;
    },
    async [Symbol.asyncDispose]() {
      await daemon.stop();
    },
  };
  return daemon;
}

function begin(
  program: Program | string,
  args: readonly string[],
  { env, cwd }: Pick<RunOptions, "env" | "cwd">,
): ChildProcess {
  const { PATH = "", HOME = "/", DENO_DIR, TMPDIR } = process.env;
  const inherited = Object.entries({ PATH, HOME, DENO_DIR, TMPDIR }).filter(([, value]) =>
    value !== undefined
  );
  const child = spawn(locate(program), args, {
    cwd,
    env: { ...Object.fromEntries(inherited), LC_ALL: "C.UTF-8", ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  living.add(child);
  return child;
}

/** Resolves to the exit code: at "exit", or at "close", when everything it wrote has arrived as well. */
function ended(child: ChildProcess, event: "exit" | "close"): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once(event, (code) => {
      living.delete(child);
      resolve(code);
    });
  });
}

/** Asks again until the answer is something, for at most `patience` milliseconds. */
export async function eventually<T>(
  what: string | (() => string),
  ask: () => T | undefined | Promise<T | undefined>,
  patience = 20_000,
): Promise<T> {
  for (const end = Date.now() + patience; Date.now() < end; await delay(20)) {
    const answer = await ask();
    if (answer !== undefined) return answer;
  }
  throw new Error(`waited ${patience} ms in vain for ${typeof what === "string" ? what : what()}`);
}
