/**
 * The users of a listener: listed, or in a file with the hashes of their passwords.
 *
 * @module
 */
import { z } from "zod";
import type { User } from "../gate.ts";
import { parseHash } from "../passwords.ts";
import { type ReadText, secret } from "./files.ts";
import { quote, ValueError } from "./problems.ts";
import { byteLength, refuse, report, type Reports } from "./values.ts";

/** A list of users, or the file that they are in. */
export function usersSchema(read: ReadText) {
  const file = z.strictObject({
    file: z.string().min(1)
      .describe("Path of a file with a line name:HASH for each user, as hopline passwd prints it."),
  }).transform(async ({ file }, ctx): Promise<User[]> => {
    try {
      return usersIn((await read(file)).text, file, ctx);
    } catch (error) {
      return refuse(ctx, error, ["file"]);
    }
  });
  return z.union([z.array(user(read)).min(1).superRefine(checkTwice), file])
    .transform((users): User[] => users);
}

function user(read: ReadText) {
  return z.strictObject({
    username: z.string().describe("The user's name."),
    password: secret(read).describe('The user\'s password, or { "file": "path" }.'),
  }).superRefine(({ username, password }, ctx) => {
    for (const [key, value] of [["username", username], ["password", password]] as const) {
      const length = byteLength(value);
      if (length < 1 || length > 255) report(ctx, `expected 1 to 255 bytes, found ${length}`, [key]);
    }
    if (username.includes(":")) report(ctx, "a user name with a colon cannot log in over HTTP", ["username"]);
  });
}

function checkTwice(users: readonly { username: string }[], ctx: Reports): void {
  const seen = new Set<string>();
  users.forEach(({ username }, index) => {
    if (seen.has(username)) report(ctx, "this user is listed twice", [index, "username"]);
    seen.add(username);
  });
}

/** The users of a file's text; what is wrong with a line is reported by its number, and nothing of it is quoted. */
function usersIn(text: string, file: string, ctx: Reports): User[] {
  const users = new Map<string, User>();
  text.split("\n").forEach((whole, index) => {
    const line = whole.replace(/\r$/, "");
    if (line.trim() === "" || line.startsWith("#")) return;
    const wrong = (what: string) => report(ctx, `line ${index + 1} of ${quote(file)}: ${what}`, ["file"]);
    const colon = line.indexOf(":");
    const [username, hash] = [line.slice(0, Math.max(colon, 0)), parseHash(line.slice(colon + 1))];
    if (byteLength(username) < 1 || byteLength(username) > 255) {
      wrong("expected name:HASH, with a name of 1 to 255 bytes");
    } else if (hash === undefined) {
      wrong("expected name:$scrypt$ln=…,r=…,p=…$salt$hash, as hopline passwd prints it");
    } else if (users.has(username)) wrong("this user is listed twice");
    else users.set(username, { username, hash });
  });
  if (users.size === 0) throw new ValueError(`the file ${quote(file)} lists no user`);
  return [...users.values()];
}
