/**
 * Configurations that are programs.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ValueError } from "./problems.ts";
import { defineConfig } from "./schema.ts";

/** As much of Bun as it takes. */
interface Bun {
  resolveSync(name: string, directory: string): string;
  plugin(plugin: { name: string; setup(build: Build): void }): void;
}

interface Build {
  module(name: string, load: () => { loader: "object"; exports: Record<string, unknown> }): void;
}

const { Bun: bun } = globalThis as { Bun?: Bun };
const ourName = "@hopline/hopline";

let imports = 0;

/** Runs a program; resolves to what it exports by default. @throws ValueError */
export async function runProgram(path: string): Promise<unknown> {
  const file = resolve(path);
  // A reload sees changes, because the query makes each load a new module.
  const query = `?load=${Date.now()}-${imports++}`;
  if (bun !== undefined) nameOurselves(bun, dirname(file));
  let module: { default?: unknown };
  try {
    // Bun drops the query of a file URL, and would run nothing again; a path keeps it.
    module = await import((bun === undefined ? pathToFileURL(file).href : file) + query);
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split("\n");
    throw new ValueError(`it cannot be run: ${reason}`);
  }
  if (module.default === undefined) throw new ValueError("expected `export default defineConfig({ … })`");
  return module.default;
}

/** Where Hopline is not installed as a package, Bun doesn't know who `import { defineConfig }` is from. Deno does. */
function nameOurselves(bun: Bun, directory: string): void {
  try {
    bun.resolveSync(ourName, directory);
  } catch {
    bun.plugin({
      name: ourName,
      setup: (build) => build.module(ourName, () => ({ loader: "object", exports: { defineConfig } })),
    });
  }
}
