/**
 * Files of one setting a line.
 *
 * @module
 */

/** The lines that say something, without comments and the space around them. */
export function lines(text: string): { line: number; content: string }[] {
  return text.split("\n").map((content, index) => ({ line: index + 1, content: content.trim() }))
    .filter(({ content }) => content !== "" && !content.startsWith("#") && !content.startsWith(";"));
}
