/**
 * The name by which programs import Hopline.
 *
 * @module
 */

/** As much of Bun as it takes. */
interface Bun {
  plugin(plugin: { name: string; setup(build: Build): void }): void;
}

interface Build {
  module(name: string, load: () => Promise<{ loader: "object"; exports: Record<string, unknown> }>): void;
}

const name = "@hopline/hopline";

/** Lets configurations import it where it is not installed as a package. Deno knows it by its own configuration. */
export function nameOurselves(): void {
  const { Bun: bun } = globalThis as { Bun?: Bun };
  const load = async () => ({ loader: "object" as const, exports: { ...await import("../../mod.ts") } });
  bun?.plugin({ name, setup: (build) => build.module(name, load) });
}
