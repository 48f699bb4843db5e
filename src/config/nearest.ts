/**
 * "Did you mean …?": the known word nearest to one that was mistyped.
 *
 * @module
 */

/** The known word that differs least from `word`, if it differs little enough to be a slip. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of known) {
    const distance = difference(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return least <= Math.max(1, Math.floor(word.length / 3)) ? best : abbreviated(word, known);
}

/** `; did you mean …?` for the end of a message, or else the words that would have been right. */
export function suggestion(word: string, known: Iterable<string>, mark = "`"): string {
  const words = [...known];
  const near = nearest(word, words);
  if (near !== undefined) return `; did you mean ${mark}${near}${mark}?`;
  if (words.length === 0 || words.length > 20) return "";
  return `; known are ${words.map((name) => mark + name + mark).join(", ")}`;
}

/** `cert` stands for `certificate`. */
function abbreviated(word: string, known: Iterable<string>): string | undefined {
  if (word.length < 3) return undefined;
  return [...known].find((candidate) => candidate.toLowerCase().startsWith(word.toLowerCase()));
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function difference(a: string, b: string): number {
  // A word much longer than every known one is no slip; this also bounds the work.
  if (a.length > 64 || Math.abs(a.length - b.length) > 8) return Infinity;
  let [before, last]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    [before, last] = [last, row];
  }
  return last[b.length];
}
