/**
 * What `-L` and `-F` say, joined to a configuration.
 *
 * @module
 */
import { sep } from "node:path";
import process from "node:process";
import type { Problem } from "./problems.ts";
import type { Config } from "./schema.ts";
import type { Place, Source } from "./source.ts";
import { fileOptions } from "./url_options.ts";

/** What `-L`, `-F` and `-c` said. */
export interface Flags {
  readonly listeners: readonly string[];
  readonly hops: readonly string[];
  readonly file?: string;
}

/** Where the program listens if nothing says otherwise. */
const defaultListener = "127.0.0.1:1080";

/** Adds listeners, and a chain named `cli`; what is wrong with them is placed at the flags. */
export function withFlags(source: Source, flags: Flags): Source {
  const { value } = source;
  // What has not the shape of a configuration is left to the schema to complain about.
  if (!isObject(value)) return source;
  const [listeners, hops] = [flags.listeners.map(fromHere), flags.hops.map(fromHere)];
  const { listeners: given = [], chains = {} } = value;
  const first = Array.isArray(given) ? given.length : Infinity;
  const added = first + listeners.length === 0 ? [defaultListener] : listeners;
  const addChain = hops.length > 0 && isObject(chains);
  return {
    ...source,
    value: {
      ...value,
      listeners: Array.isArray(given) ? [...given, ...added] : given,
      chains: addChain ? { ...chains, cli: hops } : chains,
    },
    problems: addChain && Object.hasOwn(chains, "cli")
      ? [...source.problems, taken(source)]
      : source.problems,
    locate(path, at): Place {
      const [key, name, index] = path;
      if (key === "listeners" && typeof name === "number" && name >= first) {
        return { path: `-L ${name - first + 1}` };
      }
      if (addChain && key === "chains" && name === "cli") {
        return { path: typeof index === "number" ? `-F ${index + 1}` : "-F" };
      }
      return source.locate(path, at);
    },
  };
}

/** The listeners of the flags take the chain of the flags, in front of all routes of a file; sites are for routes. */
export function withChainOfFlags(config: Config, { value }: Source, { hops }: Flags): Config {
  const { listeners, chains, routes } = config;
  const given = isObject(value) && Array.isArray(value.listeners) ? value.listeners.length : 0;
  const own = listeners.flatMap((_, index) => index < given || listeners[index].reverse ? [] : [index]);
  if (routes === undefined || hops.length === 0 || own.length === 0) return config;
  return { ...config, routes: [{ listeners: own, via: { name: "cli", hops: chains.cli } }, ...routes] };
}

const relativeFile = new RegExp(
  `(?<=[?&](?:${fileOptions.join("|")})=)(?!/|%2F|-----BEGIN|\\$\\{|&|$)`,
  "gi",
);

/** Files named in a flag are relative to the working directory, even beside a configuration file elsewhere. */
function fromHere(url: string): string {
  return url.replace(relativeFile, () => encodeURIComponent(process.cwd() + sep));
}

function taken(source: Source): Problem {
  const message = "the chain `cli` is the one that -F makes; give this one another name";
  return { path: "chains.cli", message, ...source.locate(["chains", "cli"], "key") };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
