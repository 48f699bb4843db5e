/**
 * The text of a configuration file as a value, with the place of everything in it.
 *
 * @module
 */
import { parseJson } from "./json.ts";
import { formatPath, type Path, type Problem } from "./problems.ts";
import { parseToml } from "./toml.ts";
import { parseYaml } from "./yaml.ts";

/** A format of configuration files. */
export type Format = "json" | "yaml" | "toml";

/** A value in a text. */
export interface Located {
  readonly offset: number;
  /** What is under a key or index, and where that key stands. */
  child(key: string | number): { readonly keyOffset: number; readonly value: Located } | undefined;
}

/** Something wrong with the text itself; `path` where it is known. */
export interface SyntaxIssue {
  readonly offset: number;
  readonly message: string;
  readonly path?: Path;
}

/** What a parser makes of a text. Without `root` the text is broken; with one, issues are keys that stand twice. */
export interface Parsed {
  readonly value?: unknown;
  readonly root?: Located;
  readonly issues: readonly SyntaxIssue[];
}

/** Where something is: in a file, or on the command line. */
export type Place = Partial<Problem>;

/** A configuration that is not yet checked. */
export interface Source {
  readonly value: unknown;
  /** Where a value or its key stands; for what is missing, the place of what should hold it. */
  locate(path: Path, at: "key" | "value"): Place;
  /** What is wrong already. */
  readonly problems: readonly Problem[];
  /** There is no value to check. */
  readonly broken?: boolean;
}

const parsers: Record<Format, (text: string) => Parsed> = {
  json: parseJson,
  yaml: parseYaml,
  toml: parseToml,
};

/** Parses a text; a file without content is an empty configuration, except in JSON. */
export function parseSource(text: string, format: Format, file?: string): Source {
  const { value, root, issues } = parse(text, format);
  const place = (offset: number) => ({ file, ...position(text, offset) });
  return {
    value: value ?? {},
    broken: root === undefined,
    locate: (path, at) => place(root === undefined ? 0 : offsetOf(root, path, at)),
    problems: issues.map(({ offset, message, path = [] }) => ({
      ...place(offset),
      path: formatPath(path),
      message,
    })),
  };
}

function parse(text: string, format: Format): Parsed {
  try {
    return parsers[format](text);
  } catch (error) {
    // The parsers descend recursively; a text made to exhaust the stack is refused like any other.
    if (!(error instanceof RangeError)) throw error;
    return { issues: [{ offset: 0, message: "this is nested too deeply" }] };
  }
}

function offsetOf(root: Located, path: Path, at: "key" | "value"): number {
  let [value, offset] = [root, root.offset];
  for (const [index, key] of path.entries()) {
    const child = value.child(key);
    if (child === undefined) return offset;
    value = child.value;
    offset = at === "key" && index === path.length - 1 ? child.keyOffset : value.offset;
  }
  return offset;
}

function position(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return { line: before.split("\n").length, column: offset - lineStart + 1 };
}
