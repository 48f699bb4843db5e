/**
 * The words of a shell script, as far as command lines of proxies need it.
 *
 * @module
 */
import { ImportError } from "./draft.ts";
import { variable } from "./write.ts";

/** A word, and the line where it begins. */
export interface Word {
  readonly text: string;
  readonly line: number;
}

/** The commands of a script: words, with quotes, continued lines and variables (`$NAME`, `${NAME}`) understood. */
export function commands(script: string): Word[][] {
  const result: Word[][] = [[]];
  let [word, line, begun]: [string | undefined, number, number] = [undefined, 1, 1];
  let quote = "";
  const end = () => {
    if (word !== undefined) result.at(-1)!.push({ text: word, line: begun });
    word = undefined;
  };
  const add = (text: string) => {
    if (word === undefined) begun = line;
    word = (word ?? "") + text;
  };
  for (let at = 0; at < script.length; at++) {
    const char = script[at];
    if (char === "\n") line++;
    const name = char === "$" && quote !== "'" ? variableName.exec(script.slice(at, at + 200)) : null;
    if (name !== null) {
      add(variable.begin + (name[1] ?? name[2]) + variable.end);
      at += name[0].length - 1;
    } else if (quote !== "") {
      if (char === quote) quote = "";
      else if (char === "\\" && quote === '"' && /["\\$`]/.test(script[at + 1] ?? "")) add(script[++at]);
      else add(char);
    } else if (char === "'" || char === '"') {
      quote = char;
      add("");
    } else if (char === "\\") {
      const next = /^\r?\n/.exec(script.slice(at + 1, at + 3));
      if (next === null) add(script[++at] ?? "");
      else [at, line] = [at + next[0].length, line + 1];
    } else if (char === "#" && word === undefined) {
      const newline = script.indexOf("\n", at);
      at = (newline < 0 ? script.length : newline) - 1;
    } else if (/[\n;&|]/.test(char)) {
      end();
      result.push([]);
    } else if (/\s/.test(char)) end();
    else add(char);
  }
  if (quote !== "") throw new ImportError({ line: begun, message: `a quote (${quote}) is not closed` });
  end();
  return result.filter((words) => words.length > 0);
}

const variableName = /^\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/;
