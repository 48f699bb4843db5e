/**
 * YAML 1.2.
 *
 * @module
 */
import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  parseDocument,
  visit,
} from "yaml";
import { quote } from "./problems.ts";
import type { Located, Parsed, SyntaxIssue } from "./source.ts";

/** Parses a text of one document. */
export function parseYaml(text: string): Parsed {
  const document = parseDocument(text, { prettyErrors: false, logLevel: "error" });
  const issues = document.errors.map(({ code, message, pos: [offset] }): SyntaxIssue => ({
    offset,
    message: code === "DUPLICATE_KEY"
      ? "this key stands twice"
      : `this is not YAML: ${withoutQuotation(message)}`,
  }));
  if (document.errors.some(({ code }) => code !== "DUPLICATE_KEY")) return { issues };
  const strays = strayAliases(document);
  if (strays.length > 0) return { issues: strays };
  try {
    const value = document.toJS();
    const root = document.contents === null ? nothing : located(document.contents, document);
    return { value, root, issues };
  } catch {
    // The one thing that is found this late: aliases that would multiply beyond measure.
    return { issues: [{ offset: 0, message: "the aliases multiply beyond measure" }] };
  }
}

const nothing: Located = { offset: 0, child: () => undefined };

/** The library's messages quote the text behind a colon, and what they quote may be a password. */
function withoutQuotation(message: string): string {
  const words = message.replace(/(?:[:;]|(?<=escape sequence)) .*$/s, "");
  return words.charAt(0).toLowerCase() + words.slice(1);
}

/** Aliases without an anchor before them: mostly text that begins with a `*` and was meant to be quoted. */
function strayAliases(document: Document): SyntaxIssue[] {
  const issues: SyntaxIssue[] = [];
  visit(document, {
    Alias(_, alias, ancestors) {
      if (alias.resolve(document) !== undefined) return;
      const pair = ancestors.at(-1);
      const secret = isPair(pair) && isScalar(pair.key) && /password|token/i.test(String(pair.key.value));
      const name = secret ? "this alias" : `the alias ${quote(`*${alias.source}`)}`;
      issues.push({
        offset: alias.range?.[0] ?? 0,
        message: `${name} has no anchor (&) before it; text that begins with a * needs quotes`,
      });
    },
  });
  return issues;
}

function located(given: Node, document: Document): Located {
  const node = isAlias(given) ? given.resolve(document) : given;
  return {
    offset: given.range?.[0] ?? 0,
    child(key) {
      if (isSeq<Node>(node) && typeof key === "number") {
        const item = node.items[key];
        return item && { keyOffset: item.range?.[0] ?? 0, value: located(item, document) };
      }
      if (!isMap<Node, Node | null>(node)) return undefined;
      const pair = node.items.findLast((pair) =>
        isScalar(pair.key) && String(pair.key.value) === String(key)
      );
      if (pair === undefined) return undefined;
      const keyOffset = pair.key.range?.[0] ?? 0;
      const value = pair.value === null ? { ...nothing, offset: keyOffset } : located(pair.value, document);
      return { keyOffset, value };
    },
  };
}
