/**
 * What a configuration keeps in other files: certificates, keys and passwords.
 *
 * @module
 */
import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { z } from "zod";
import { quote, ValueError } from "./problems.ts";
import { attempt, refuse } from "./values.ts";

/** A file that a configuration names. */
export interface TextFile {
  /** Its absolute path. */
  readonly path: string;
  readonly text: string;
}

/** Reads a file that a configuration names. */
export type ReadText = (path: string) => Promise<TextFile>;

/** Reads files relative to a directory, and notes their paths; errors are {@linkcode ValueError}s that say what went wrong. */
export function filesIn(directory: string, noted?: Map<string, string>): ReadText {
  return async (given) => {
    const path = resolve(directory, given);
    await note(path, noted);
    return { path, text: await readText(path) };
  };
}

/**
 * The text of a UTF-8 file, without a byte order mark.
 *
 * @throws ValueError
 */
export async function readText(path: string): Promise<string> {
  let content: Uint8Array;
  try {
    if (path.includes("\0")) throw { code: "ENOENT" };
    content = await readFile(path);
  } catch (error) {
    throw new ValueError(`cannot read ${quote(path)}: ${reason(error)}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    throw new ValueError(`cannot read ${quote(path)}: it is not UTF-8 text`);
  }
}

/** Notes what a file is before it is read: who writes to it meanwhile is noticed. */
export async function note(path: string, noted: Map<string, string> | undefined): Promise<void> {
  if (noted !== undefined && !noted.has(path)) noted.set(path, await stampOf(path));
}

/** What tells a file from what it was before, without reading it. */
export async function stampOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return "missing";
  }
}

const reasons: Record<string, string> = {
  ENOENT: "there is no such file",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of the path is not a directory",
};

function reason(error: unknown): string {
  const { code, name } = error as { code?: string; name?: string };
  return reasons[code ?? ""] ?? code ??
    (name === "NotCapable" ? "the runtime was not given leave" : "failed");
}

/** A secret, given as it is or as `{ "file": "path" }`; the file's last line end is not part of it. */
export function secret(read: ReadText) {
  const file = z.strictObject({
    file: z.string().min(1).describe("Path of the file that holds the secret, relative to this file."),
  });
  return z.union([z.string(), file]).transform(async (given, ctx) => {
    if (typeof given === "string") return given;
    try {
      const text = (await read(given.file)).text.replace(/\r?\n$/, "");
      if (text === "") throw new ValueError(`the file ${quote(given.file)} is empty`);
      return text;
    } catch (error) {
      return refuse(ctx, error, ["file"]);
    }
  });
}

const pemKinds = {
  certificate: /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/,
  "private key": /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/,
};

const bareBase64 = /^[A-Za-z0-9+=][A-Za-z0-9+/=]{63,}$/;

/** A path of a PEM file, or PEM text itself; either way the text comes out. */
export function pem(read: ReadText, kind: keyof typeof pemKinds) {
  return pemFile(read, kind).transform(({ text }) => text);
}

/** The same with the file's path, for those who read it again. */
export function pemFile(read: ReadText, kind: keyof typeof pemKinds) {
  return z.string().min(1).transform(async (given, ctx): Promise<Partial<TextFile> & { text: string }> => {
    try {
      const inline = given.startsWith("-----BEGIN");
      // Base64 without its frame is no path; it must not get into a message either.
      if (!inline && (given.includes("\n") || given.length > 1024 || bareBase64.test(given))) {
        throw new ValueError("expected a path, or PEM text that starts with -----BEGIN");
      }
      const file = inline ? { text: given } : await read(given);
      attempt(ctx, () => checkPem(file.text, kind, inline ? "the text" : `the file ${quote(given)}`));
      return file;
    } catch (error) {
      return refuse(ctx, error);
    }
  });
}

function checkPem(text: string, kind: keyof typeof pemKinds, where: string): void {
  if (kind === "private key" && /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(text)) {
    throw new ValueError(`${where} holds an encrypted private key; expected one without a pass phrase`);
  }
  if (!pemKinds[kind].test(text)) throw new ValueError(`expected a ${kind} in PEM form, ${where} holds none`);
}
