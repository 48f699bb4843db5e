/**
 * `${NAME}` and `${NAME:-default}` in the strings of a configuration.
 *
 * As in a shell, the default stands in for a variable that is unset or empty; `$${` is a plain `${`. What is put in
 * is text, and a URL is parsed after that, with one exception: in front of the `@` of a URL a value is percent-encoded
 * first, because people keep raw passwords in their environment, and one with an `@`, `/` or `%` has to work.
 *
 * @module
 */
import type { Issue } from "./issues.ts";
import type { Path } from "./problems.ts";

/** Looks up an environment variable. */
export type Environment = (name: string) => string | undefined;

/** A copy with all variables put in, and what was wrong on the way. */
export interface Interpolated {
  readonly value: unknown;
  readonly issues: readonly Issue[];
}

/** Puts variables into every string; without an environment it only makes the copy. */
export function interpolate(value: unknown, environment?: Environment): Interpolated {
  const issues: Issue[] = [];
  return { value: copy(value, [], []), issues };

  function copy(value: unknown, path: Path, within: readonly unknown[]): unknown {
    if (typeof value === "string" && environment !== undefined) return substitute(value, path, environment);
    if (!isContainer(value)) return value;
    if (within.includes(value) || within.length > 64) {
      issues.push({
        path: [...path],
        message: "the value contains itself, or is nested too deeply",
        at: "value",
      });
      return null;
    }
    const inside = [...within, value];
    if (Array.isArray(value)) return value.map((item, index) => copy(item, [...path, index], inside));
    // A copy without a prototype: no key of a file can be taken for an inherited one.
    const result: Record<string, unknown> = Object.create(null);
    for (const [key, item] of Object.entries(value)) {
      if (key !== "__proto__") result[key] = copy(item, [...path, key], inside);
      else issues.push({ path: [...path, key], message: "`__proto__` cannot be a key", at: "key" });
    }
    return result;
  }

  function substitute(text: string, path: Path, environment: Environment): string {
    const pieces = split(text);
    const [from, to] = isUrl(path) ? userInfo(pieces) : [0, 0];
    return pieces.map((piece, index) => {
      if (typeof piece === "string") return piece;
      const found = lookUp(piece, environment);
      if (typeof found !== "string") {
        issues.push({ path: [...path], message: found.problem, at: "value" });
        return "";
      }
      return index >= from && index < to ? encodeURIComponent(found.toWellFormed()) : found;
    }).join("");
  }
}

interface Variable {
  readonly name: string;
  readonly otherwise?: string;
}

const placeholder = /\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?/g;

/** Plain text and variables in turn. A `${` that begins no variable is one without a name. */
function split(text: string): (string | Variable)[] {
  const pieces: (string | Variable)[] = [];
  let end = 0;
  for (const match of text.matchAll(placeholder)) {
    pieces.push(text.slice(end, match.index));
    const [whole, name = "", otherwise] = match;
    pieces.push(whole === "$${" ? "${" : { name, otherwise });
    end = match.index + whole.length;
  }
  return [...pieces, text.slice(end)];
}

function lookUp({ name, otherwise }: Variable, environment: Environment): string | { problem: string } {
  if (name === "") {
    return { problem: "expected ${NAME} or ${NAME:-default}; a plain ${ is written $${" };
  }
  let found: string | undefined;
  try {
    found = environment(name);
  } catch {
    return {
      problem: `the runtime was not given leave to read ${name}; on Deno that is --allow-env=${name}`,
    };
  }
  if (otherwise !== undefined) return found || otherwise;
  return found ??
    { problem: `the environment variable ${name} is not set; \${${name}:-…} would give a default` };
}

/** Where the configuration has URLs: listeners, hops, and hops within chains and routes. */
function isUrl(path: Path): boolean {
  return path.length === 2 && (path[0] === "listeners" || path[0] === "hops") ||
    path.length === 3 && path[0] === "chains" || path[0] === "routes" && path[2] === "via";
}

/** Which pieces stand between the scheme and the `@` of a URL. */
function userInfo(pieces: readonly (string | Variable)[]): [from: number, to: number] {
  const scheme = pieces.findIndex((piece) => typeof piece === "string" && piece.includes("://"));
  for (let index = Math.max(scheme, 0); index < pieces.length; index++) {
    const piece = pieces[index];
    if (typeof piece !== "string") continue;
    const text = index === scheme ? piece.slice(piece.indexOf("://") + 3) : piece;
    const [authority] = text.split(/[/?#]/, 1);
    if (authority.includes("@")) return [scheme + 1, index];
    if (authority !== text) break;
  }
  return [0, 0];
}

function isContainer(value: unknown): value is object {
  if (Array.isArray(value)) return true;
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
