/**
 * Where both runtimes are: the one that runs this, and the other.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { locate } from "../tests/support/programs.ts";

const found = new Map([["Bun" in globalThis ? "bun" : "deno", process.execPath]]);

/** What makes npx say where it keeps them. */
const questions = {
  bun: ["-y", "bun@1.4.5", "-p", "process.execPath"],
  deno: ["-y", "deno@2.9.6", "eval", "console.log(Deno.execPath())"],
};

/** The runtime's own executable, from the PATH or from npm: no wrapper that would be measured as well. */
export function executable(runtime: "bun" | "deno"): string {
  let path = found.get(runtime);
  if (path === undefined) found.set(runtime, path = search(runtime));
  return path;
}

function search(runtime: "bun" | "deno"): string {
  try {
    return locate(runtime);
  } catch {
    return execFileSync("npx", questions[runtime], { encoding: "utf8" }).trim();
  }
}
