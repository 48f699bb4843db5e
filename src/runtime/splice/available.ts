/**
 * Whether the kernel relay can be had here, found out without asking anybody.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { KernelRelay } from "./relay.ts";

/** The worker's module; one binary holds it by its path in the sources. */
const worker = import.meta.url.startsWith("file:///$bunfs/")
  ? "/$bunfs/root/src/runtime/splice/worker.js"
  : import.meta.url.startsWith("file:")
  ? fileURLToPath(new URL("./worker.ts", import.meta.url).href)
  : undefined;

/** Why there is none; `undefined` when nothing is known to be in its way. */
export function unavailable(): string | undefined {
  if (process.platform !== "linux") return "it needs Linux";
  if (process.arch !== "x64" && process.arch !== "arm64") return "it needs x86-64 or arm64";
  if (worker === undefined) return "it needs Hopline's sources on this machine";
  if (!("Bun" in globalThis)) {
    if (Deno.permissions.querySync({ name: "ffi" }).state !== "granted") return "it needs --allow-ffi";
    const read = Deno.permissions.querySync({ name: "read", path: worker });
    if (read.state !== "granted") return "it needs --allow-read besides --allow-ffi";
  }
  if (!existsSync(worker)) return "the program was compiled without it";
}

let shared: KernelRelay | undefined;

/** The kernel relay of this process, where there is one. */
export function kernelRelay(): KernelRelay | undefined {
  return shared ??= newKernelRelay();
}

/** One of one's own, with another idea of what is bulk. */
export function newKernelRelay(threshold?: number): KernelRelay | undefined {
  return unavailable() === undefined ? new KernelRelay(worker!, threshold) : undefined;
}
