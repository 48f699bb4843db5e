/**
 * JSON with comments and trailing commas.
 *
 * @module
 */
import { getNodeValue, type Node, type ParseError, parseTree, printParseErrorCode } from "jsonc-parser";
import type { Path } from "./problems.ts";
import type { Located, Parsed, SyntaxIssue } from "./source.ts";

/** Parses a text; the first error ends it, since those that follow are mostly its echo. */
export function parseJson(text: string): Parsed {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  if (root === undefined || errors.length > 0) return { issues: errors.slice(0, 1).map(broken) };
  return { value: getNodeValue(root), root: located(root), issues: duplicates(root, []) };
}

function broken({ error, offset }: ParseError): SyntaxIssue {
  // "CommaExpected" becomes "comma expected".
  const words = printParseErrorCode(error).replace(/\B[A-Z]/g, (letter) => ` ${letter}`).toLowerCase();
  return { offset, message: `this is not JSON: ${words}` };
}

function located(node: Node): Located {
  return {
    offset: node.offset,
    child(key) {
      if (typeof key === "number") {
        const item = node.type === "array" ? node.children?.[key] : undefined;
        return item && { keyOffset: item.offset, value: located(item) };
      }
      // The last of several is the one that counts.
      const [name, value] = properties(node).findLast(([name]) => name.value === key) ?? [];
      return name && value && { keyOffset: name.offset, value: located(value) };
    },
  };
}

function duplicates(node: Node, path: Path): SyntaxIssue[] {
  if (node.type === "array") {
    return (node.children ?? []).flatMap((item, i) => duplicates(item, [...path, i]));
  }
  const seen = new Set<string>();
  return properties(node).flatMap(([name, value]) => {
    const here = [...path, name.value as string];
    const again = seen.has(name.value);
    seen.add(name.value);
    const issues = duplicates(value, here);
    return again
      ? [{ offset: name.offset, message: "this key stands twice", path: here }, ...issues]
      : issues;
  });
}

function properties(node: Node): [Node, Node][] {
  if (node.type !== "object") return [];
  return (node.children ?? []).map(({ children }) => children as [Node, Node]);
}
