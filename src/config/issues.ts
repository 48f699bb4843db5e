/**
 * The schema's findings in words: what was expected and what was found, without quoting what may be a secret.
 *
 * @module
 */
import type { z } from "zod";
import { suggestion } from "./nearest.ts";
import { alternatives, quote } from "./problems.ts";

/** A finding, placed at a key or at a value. */
export interface Issue {
  readonly path: (string | number)[];
  readonly message: string;
  readonly at: "key" | "value";
}

const typeNames: Record<string, string> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

/** The error map to parse with. */
export const explain: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case "invalid_type":
      if (issue.expected === "int" && typeof issue.input === "number") {
        return `expected a whole number, found ${issue.input}`;
      }
      return wrongKind(typeNames[issue.expected] ?? issue.expected, issue.input);
    case "invalid_value":
      return invalidValue(issue.values.map(String), issue.input);
    case "too_small":
      return `expected ${issue.inclusive ? "at least" : "more than"} ${
        amount(issue.minimum, issue.origin)
      }, found ${size(issue.input)}`;
    case "too_big":
      return `expected ${issue.inclusive ? "at most" : "less than"} ${
        amount(issue.maximum, issue.origin)
      }, found ${size(issue.input)}`;
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey(key, issue.inst)).join("\n");
    case "invalid_union":
      return wrongKind(alternatives(issue.errors.flatMap(mismatch)), issue.input);
    default:
      return undefined;
  }
};

function amount(limit: number | bigint, origin: string): string {
  const noun = { string: ["character", "characters"], array: ["entry", "entries"] }[origin];
  return noun === undefined ? `${limit}` : `${limit} ${noun[Number(limit) === 1 ? 0 : 1]}`;
}

/** A number itself; of all else how much there is, for it may be a secret. */
function size(input: unknown): number {
  return typeof input === "number" ? input : (input as { readonly length: number }).length;
}

function invalidValue(values: string[], input: unknown): string {
  const words = alternatives(values.map((value) => `"${value}"`));
  const whole = wrongKind(values.length > 1 ? `one of ${words}` : words, input);
  if (typeof input !== "string") return whole;
  return `${whole.replace(/a string$/, "")}${quote(input)}${meant(input, values)}`;
}

function meant(input: string, values: string[]): string {
  const near = suggestion(input, values, '"');
  return near.startsWith("; did") ? near : "";
}

/** What to say of a value of the wrong kind, or of one that is not there. */
export function wrongKind(what: string, input: unknown): string {
  return input === undefined ? `is missing; expected ${what}` : `expected ${what}, found ${kind(input)}`;
}

/** What kind of value it is; never the value. */
function kind(input: unknown): string {
  if (input === null) return "null";
  if (Array.isArray(input)) return "a list";
  if (input instanceof Date) return "a date";
  if (typeof input === "boolean") return String(input);
  return typeNames[typeof input] ?? `a ${typeof input}`;
}

/** The schema's findings, with unions decided and unknown keys one by one. */
export function flatten(issues: readonly z.core.$ZodIssue[]): Issue[] {
  return issues.flatMap((issue) => {
    const path = issue.path.filter((key) => typeof key !== "symbol");
    if (issue.code === "unrecognized_keys") return unknownKeys(issue, path);
    if (issue.code === "invalid_key") {
      return issue.issues.map(({ message }) => ({ path, message, at: "key" as const }));
    }
    const branch = issue.code === "invalid_union" ? chosen(issue) : undefined;
    if (branch !== undefined) {
      return flatten(branch).map((inner) => ({ ...inner, path: [...path, ...inner.path] }));
    }
    return [{ path, message: issue.message, at: "value" as const }];
  });
}

function unknownKey(key: string, schema: unknown): string {
  const known = Object.keys((schema as z.ZodObject | undefined)?.shape ?? {});
  return `unknown key \`${quote(key).slice(1, -1)}\`${suggestion(key, known)}`;
}

/** One finding for each key; `explain` put a line for each into the message. */
function unknownKeys(issue: z.core.$ZodIssueUnrecognizedKeys, path: (string | number)[]): Issue[] {
  const messages = issue.message.split("\n");
  return issue.keys.map((key, index) => ({
    path: [...path, key],
    message: messages[index],
    at: "key" as const,
  }));
}

/** The kind that a branch of a union expected, if the value is of another kind altogether. */
function mismatch(issues: readonly z.core.$ZodIssue[]): string[] {
  const found = issues.find((issue) => issue.code === "invalid_type" && issue.path.length === 0);
  return found?.code === "invalid_type" ? [typeNames[found.expected] ?? found.expected] : [];
}

/** The findings of the branch that was meant; undefined if the value fits the kind of none. */
function chosen(issue: z.core.$ZodIssueInvalidUnion): readonly z.core.$ZodIssue[] | undefined {
  return issue.errors.find((branch) => mismatch(branch).length === 0);
}
