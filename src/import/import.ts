/**
 * From another program's configuration to one of Hopline's.
 *
 * @module
 */
import process from "node:process";
import { parseConfig } from "../config/load.ts";
import { alternatives, ConfigError, type Problem } from "../config/problems.ts";
import { Draft, ImportError, type Note } from "./draft.ts";
import { importEnvironment } from "./environment.ts";
import { importGlider } from "./glider.ts";
import { importGost } from "./gost.ts";
import { importProxychains } from "./proxychains.ts";
import { importSingBox } from "./sing_box.ts";
import { write } from "./write.ts";

/** Reads a file that another one includes; the path is relative to that one. */
export type ReadFile = (path: string) => Promise<string>;

type Importer = (text: string, draft: Draft, read: ReadFile) => void | Promise<void>;

const importers = {
  gost: importGost,
  proxychains: importProxychains,
  glider: importGlider,
  "sing-box": importSingBox,
} satisfies Record<string, Importer>;

/** A program whose configuration can be read. */
export type Origin = keyof typeof importers;

/** Their names. */
export const origins = Object.keys(importers) as Origin[];

/** A configuration for Hopline, and what is different in it. */
export interface Imported {
  /** JSON with comments; it has passed the checks of every configuration. */
  readonly text: string;
  readonly notes: readonly Problem[];
}

/**
 * Imports the text of a file.
 *
 * @throws ConfigError when it cannot be understood, or would be no valid configuration
 */
export function importText(
  text: string,
  { file, from, read }: { file: string; from?: Origin; read: ReadFile },
): Promise<Imported> {
  const source = text.replace(/^\ufeff/, "").replaceAll("\r\n", "\n");
  return finish(file, (draft) => importers[from ?? detect(source)](source, draft, read));
}

/** Imports `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. @throws ConfigError */
export function importVariables(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Imported> {
  return finish("environment", (draft) => importEnvironment(environment, draft));
}

/** Which program a file belongs to, by what is in it. */
function detect(text: string): Origin {
  if (/^\s*(?:\/\/[^\n]*\s*|\/\*[\s\S]*?\*\/\s*)*\{/.test(text)) return "sing-box";
  if (/^\s*\[ProxyList\]/im.test(text)) return "proxychains";
  if (/(?:^|\s)-{1,2}[LF](?:\s|=|$)/m.test(text)) return "gost";
  if (/^\s*(?:forward|listen|rulefile|rules-dir|strategy)\s*=/m.test(text)) return "glider";
  const known = alternatives(origins);
  throw new ImportError({ message: `this is nothing that can be imported; if it is, say --from ${known}` });
}

async function finish(file: string, read: (draft: Draft) => void | Promise<void>): Promise<Imported> {
  const draft = new Draft();
  try {
    await read(draft);
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(error.problems.map((one) => ({ ...one, file })));
    if (!(error instanceof ImportError)) throw error;
    throw new ConfigError([...draft.notes, error.note].map((note) => problem(note, file)));
  }
  const text = write(draft, file);
  // Variables of the source need not be set where it is imported, nor be permitted.
  const environment = (name: string) => {
    try {
      return process.env[name] ?? "unset";
    } catch {
      return "unset";
    }
  };
  try {
    await parseConfig(text, { format: "json", directory: process.cwd(), environment });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(error.problems.map(({ path, message }) => ({
      file,
      line: origin(draft, path),
      path,
      message,
    })));
  }
  return { text, notes: draft.notes.map((note) => problem(note, file)).sort(byLine) };
}

function problem({ file, line, message }: Note, source: string): Problem {
  return { file: file ?? source, line, path: "", message };
}

/** What an included file says comes behind what the file itself does. */
function byLine(a: Problem, b: Problem): number {
  return a.file === b.file ? (a.line ?? 0) - (b.line ?? 0) : 0;
}

/** The line of the source that a part of the configuration came from. */
function origin(draft: Draft, path: string): number | undefined {
  const [, index] = /^listeners\[(\d+)\]/.exec(path) ?? [];
  if (index !== undefined) return draft.listeners[Number(index)]?.line;
  const [, route] = /^routes\[(\d+)\]/.exec(path) ?? [];
  if (route !== undefined) return draft.routes[Number(route)]?.line;
  const [, section, name, quoted] = /^(hops|chains)(?:\.([\w$-]+)|\["(.*?)"\])/.exec(path) ?? [];
  return section === undefined ? undefined : draft[section as "hops" | "chains"].get(name ?? quoted)?.line;
}
