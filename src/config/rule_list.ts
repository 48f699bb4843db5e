/**
 * Lists of targets in files of their own: a pattern on each line, or the lines of a hosts file.
 *
 * @module
 */
import { ipVersion } from "../core/address.ts";
import { parsePattern, type Pattern } from "../routing/pattern.ts";
import { quote, ValueError } from "./problems.ts";

/** Where hosts files send names that nobody should reach. */
const nowhere = ["0.0.0.0", "127.0.0.1", "::", "::1"];
const mostProblems = 10;

/**
 * Parses a list. `#` begins a comment. In lines that begin with an address and go on, as in hosts files, the names
 * behind 0.0.0.0 or another address of nowhere are listed, without those that a machine has for itself.
 *
 * @throws ValueError that names each wrong line of `file`
 */
export function parseRuleList(text: string, file: string): Pattern[] {
  const patterns: Pattern[] = [];
  const problems: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    for (const word of wordsOf(line)) {
      try {
        patterns.push(parsePattern(word));
      } catch (error) {
        problems.push(`${file}:${index + 1}: ${(error as Error).message}`);
      }
    }
    if (problems.length > mostProblems) break;
  }
  if (problems.length > mostProblems) problems.splice(mostProblems, Infinity, `${file}: and more`);
  if (problems.length > 0) throw new ValueError(problems.join("; "));
  if (patterns.length === 0) throw new ValueError(`the file ${quote(file)} lists nothing`);
  return patterns;
}

function wordsOf(line: string): string[] {
  const words = line.replace(/#.*/s, "").trim().split(/\s+/);
  if (words[0] === "") return [];
  if (words.length === 1) return words;
  const [address, ...names] = words;
  // A zone may stand behind the address of a hosts file: fe80::1%lo0.
  if (ipVersion(address.replace(/%.*/s, "")) === 0) return [words.join(" ")];
  return nowhere.includes(address) ? names.filter((name) => name.includes(".") && !own.includes(name)) : [];
}

const own = ["localhost.localdomain", "0.0.0.0"];
