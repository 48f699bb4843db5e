/**
 * How this program is run once more, as a worker.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { UsageError } from "../arguments.ts";

/** The word on the command line that makes a process a worker. */
export const workerCommand = "worker";

/** Permissions of ours that workers need as well, where they have been given as a whole. */
const passedOn = ["net", "read", "ffi"] as const;

/** Starts a worker with pipes to all its streams. @throws UsageError when that is not permitted */
export function spawnWorker(): ChildProcess {
  const args = process.versions.bun === undefined ? denoArguments() : bunArguments();
  return spawn(process.execPath, [...args, workerCommand], { stdio: ["pipe", "pipe", "pipe"] });
}

function bunArguments(): string[] {
  const [, script] = process.argv;
  // In one binary, the program is its own script.
  return script.startsWith("/$bunfs/") ? [] : [...process.execArgv, script];
}

function denoArguments(): string[] {
  const granted = (descriptor: Deno.PermissionDescriptor) =>
    Deno.permissions.querySync(descriptor).state === "granted";
  const may = granted({ name: "net" }) && granted({ name: "env" }) &&
    granted({ name: "run", command: process.execPath });
  if (!may) {
    throw new UsageError(
      "--workers needs --allow-run, --allow-env and --allow-net without a list: workers are processes of their own",
    );
  }
  const permissions = passedOn.filter((name) => granted({ name })).map((name) => `--allow-${name}`);
  return ["run", "--quiet", "--no-prompt", "--unstable-net", ...permissions, Deno.mainModule];
}
