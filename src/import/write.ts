/**
 * A draft as text: JSON with comments.
 *
 * @module
 */
import type { Draft, Entry } from "./draft.ts";

const width = 110;

/** Marks the name of an environment variable within a value; it is written as `${NAME}`. */
export const variable = { begin: "\ue000", end: "\ue001" };

/** The configuration of a draft; `source` is what it was made from. */
export function write(draft: Draft, source: string): string {
  const sections = [
    list("listeners", draft.listeners),
    map("hops", draft.hops),
    map("chains", draft.chains),
    list("routes", draft.routes),
    Object.keys(draft.timeouts).length === 0 ? [] : [`  "timeouts": ${inline(draft.timeouts)}`],
  ].filter((lines) => lines.length > 0);
  const body = sections.map((lines) => lines.join("\n")).join(",\n");
  const origin = source.replace(/[^ -~]/g, "?");
  return `// Made from ${origin} by hopline import, which reported what is different.\n{\n${body}\n}\n`;
}

function list(key: string, entries: readonly Entry<unknown>[]): string[] {
  if (entries.length === 0) return [];
  return [`  "${key}": [`, entries.map((entry) => written(entry, "")).join(",\n"), "  ]"];
}

function map(key: string, entries: ReadonlyMap<string, Entry<unknown>>): string[] {
  if (entries.size === 0) return [];
  const lines = [...entries].map(([name, entry]) => written(entry, `${inline(name)}: `));
  return [`  "${key}": {`, lines.join(",\n"), "  }"];
}

function written({ value, comment }: Entry<unknown>, key: string): string {
  const remark = comment === undefined ? "" : `    // ${comment}\n`;
  const line = `    ${key}${inline(value)}`;
  return remark + (line.length <= width ? line : `    ${key}${indented(value, "    ")}`);
}

function indented(value: unknown, indent: string): string {
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    return `[\n${value.map((item) => deeper + inline(item)).join(",\n")}\n${indent}]`;
  }
  const lines = Object.entries(value as object).filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${deeper}${JSON.stringify(key)}: ${inline(item)}`);
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

function inline(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(escaped(value));
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${JSON.stringify(key)}: ${inline(item)}`);
  return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`;
}

/** What looks like a variable of ours is none, unless it was one. */
function escaped(text: string): string {
  return text.replaceAll("${", "$$${").replaceAll(variable.begin, "${").replaceAll(variable.end, "}");
}
