/**
 * `hopline passwd`: makes the line of a user for a file of users.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { formatHash, hashPassword } from "../passwords.ts";
import { UsageError } from "./arguments.ts";
import type { Command } from "./main.ts";

/** Asks for a password and prints it hashed. */
export const passwd: Command = {
  grammar: { operands: ["USER"], values: [], flags: [] },
  async run({ operands: [user] }) {
    checkName(user);
    const password = process.stdin.isTTY ? await asked() : await piped();
    const length = Buffer.byteLength(password);
    if (length < 1 || length > 255) {
      throw new UsageError(`expected a password of 1 to 255 bytes, found ${length}`);
    }
    process.stdout.write(`${user}:${formatHash(await hashPassword(password))}\n`);
    return 0;
  },
};

/** A name with a colon could not log in over HTTP, and one with a # in front would be a comment of the file. */
function checkName(user: string): void {
  const length = Buffer.byteLength(user);
  // deno-lint-ignore no-control-regex
  if (length < 1 || length > 255 || /^#|[:\x00-\x1f\x7f]/.test(user)) {
    throw new UsageError(
      "USER is 1 to 255 bytes without a colon or control character, and begins with no #",
    );
  }
}

/** Everything on standard input but a line end at its end. */
async function piped(): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString().replace(/\r?\n$/, "");
}

/** Asked for twice, since nobody sees what is typed. Standard output is for the result. */
async function asked(): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  terminal.on("SIGINT", () => terminal.close());
  const lines = terminal[Symbol.asyncIterator]();
  const line = async (prompt: string) => {
    process.stderr.write(prompt);
    const { value, done } = await lines.next();
    process.stderr.write("\n");
    if (done) throw new UsageError("no password was given");
    return value;
  };
  try {
    const password = await line("Password: ");
    if (await line("Again: ") !== password) throw new UsageError("the two passwords are not the same");
    return password;
  } finally {
    terminal.close();
  }
}
