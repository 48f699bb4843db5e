/**
 * Configurations that are programs.
 *
 * @module
 */
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { ValueError } from "./problems.ts";

let imports = 0;

/** Runs a program; resolves to what it exports by default. @throws ValueError */
export async function runProgram(path: string): Promise<unknown> {
  const file = resolve(path);
  // A reload sees changes, because the query makes each load a new module.
  const query = `?load=${Date.now()}-${imports++}`;
  let module: { default?: unknown };
  try {
    // Bun drops the query of a file URL, and would run nothing again; a path keeps it.
    module = await import((process.versions.bun === undefined ? pathToFileURL(file).href : file) + query);
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split("\n");
    throw new ValueError(`it cannot be run: ${reason}`);
  }
  if (module.default === undefined) throw new ValueError("expected `export default defineConfig({ … })`");
  return module.default;
}
