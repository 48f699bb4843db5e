/**
 * The code blocks of the documentation: of the docstrings behind mod.ts, of the README and of docs/.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/hopline.ts";

/** One fenced block. */
export interface Block {
  /** `README.md:79`. */
  readonly place: string;
  /** What stands behind the backticks: `ts`, `jsonc`, `ts ignore`. */
  readonly language: string;
  readonly text: string;
}

/** Every block of the documentation. */
export function blocks(): Block[] {
  const sources = ["mod.ts", ...exportedFiles()].flatMap((file) => fenced(file, docstrings(read(file))));
  const docs = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md")).sort();
  const pages = ["README.md", ...docs.map((name) => `docs/${name}`)];
  return [...sources, ...pages.flatMap((file) => fenced(file, read(file)))];
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

/** The files that mod.ts exports from. */
function exportedFiles(): string[] {
  const files = [...read("mod.ts").matchAll(/^export .* from "\.\/(.*)";$/gm)].map(([, file]) => file);
  return [...new Set(files)];
}

/** The same lines, those outside of docstrings empty: line numbers stay right. */
function docstrings(source: string): string {
  let within = false;
  return source.split("\n").map((line) => {
    if (/^\s*\/\*\*/.test(line)) within = true;
    const text = within ? line.replace(/^\s*(\/\*\*|\*\/|\*) ?/, "") : "";
    if (line.includes("*/")) within = false;
    return text;
  }).join("\n");
}

function fenced(file: string, text: string): Block[] {
  const found: Block[] = [];
  const lines = text.split("\n");
  for (let start = 0; start < lines.length; start++) {
    const language = /^```(.*)$/.exec(lines[start])?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf("```", start + 1);
    found.push({ place: `${file}:${start + 1}`, language, text: lines.slice(start + 1, end).join("\n") });
    start = end;
  }
  return found;
}
