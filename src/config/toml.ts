/**
 * TOML 1.0.
 *
 * The value is built here rather than by the library, since the tree has to be known anyway, and its tables may be
 * spread over the whole text.
 *
 * @module
 */
import { type AST, ParseError, parseTOML } from "toml-eslint-parser";
import type { Located, Parsed, SyntaxIssue } from "./source.ts";

/** Parses a text; the first error ends it. */
export function parseToml(text: string): Parsed {
  try {
    const [top] = parseTOML(text, { tomlVersion: "1.0" }).body;
    const root = table(0);
    for (const node of top.body) {
      if (node.type === "TOMLKeyValue") insert(root, node);
      else for (const pair of node.body) insert(descend(root, node.resolvedKey, node.key), pair);
      if (node.type === "TOMLTable") descend(root, node.resolvedKey, node.key);
    }
    return { value: plain(root), root, issues: [] };
  } catch (error) {
    if (!(error instanceof ParseError)) throw error;
    return { issues: [broken(text, error)] };
  }
}

function broken(text: string, { index, message }: ParseError): SyntaxIssue {
  // A value that was forgotten is only missed on the next line.
  const before = text.slice(0, index).trimEnd();
  if (before.endsWith("=")) return { offset: before.length, message: "this is not TOML: value expected" };
  return {
    offset: index,
    message: `this is not TOML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`,
  };
}

/** A table or a list; or, without `entries`, a value. */
interface Tree extends Located {
  readonly entries?: Map<string | number, { keyOffset: number; value: Tree }>;
  readonly list?: boolean;
  readonly scalar?: unknown;
}

function table(offset: number, list = false): Tree {
  const entries: Tree["entries"] = new Map();
  return { offset, list, entries, child: (key) => entries.get(key) };
}

/** The table under a dotted key or a `[header]`, made on the way where it is not there yet. */
function descend(root: Tree, path: readonly (string | number)[], key: AST.TOMLKey): Tree {
  let [tree, names] = [root, 0];
  path.forEach((step, index) => {
    if (typeof step === "string") names++;
    const keyOffset = key.keys[names - 1].range[0];
    let entry = tree.entries?.get(step);
    if (entry === undefined) {
      entry = { keyOffset, value: table(keyOffset, typeof path[index + 1] === "number") };
      tree.entries?.set(step, entry);
    }
    tree = entry.value;
  });
  return tree;
}

function insert(root: Tree, { key, value }: AST.TOMLKeyValue): void {
  const path = key.keys.map((part) => part.type === "TOMLBare" ? part.name : part.value);
  const tree = descend(root, path.slice(0, -1), key);
  tree.entries?.set(path.at(-1)!, { keyOffset: key.keys.at(-1)!.range[0], value: content(value) });
}

function content(node: AST.TOMLContentNode): Tree {
  const offset = node.range[0];
  if (node.type === "TOMLValue") return { offset, scalar: node.value, child: () => undefined };
  const tree = table(offset, node.type === "TOMLArray");
  if (node.type === "TOMLInlineTable") { for (const pair of node.body) insert(tree, pair); }
  else {node.elements.forEach((item, index) => {
      const value = content(item);
      tree.entries?.set(index, { keyOffset: value.offset, value });
    });}
  return tree;
}

function plain({ entries, list, scalar }: Tree): unknown {
  if (entries === undefined) return scalar;
  const values = [...entries].map(([key, { value }]) => [key, plain(value)] as const);
  // `fromEntries` defines properties, so that `__proto__` stays a key like any other until it is refused.
  return list ? values.map(([, value]) => value) : Object.fromEntries(values);
}
