/**
 * A git repository to clone from, with a file large enough to notice a damaged byte.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { blob, sha256 } from "./origins.ts";
import { must } from "./process.ts";
import type { Directory } from "./temporary.ts";

/** No configuration of this machine or its user, and somebody to sign a commit. */
export const gitEnvironment: Readonly<Record<string, string>> = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_TERMINAL_PROMPT: "0",
  GIT_AUTHOR_NAME: "A",
  GIT_AUTHOR_EMAIL: "a@relay.test",
  GIT_COMMITTER_NAME: "A",
  GIT_COMMITTER_EMAIL: "a@relay.test",
};

/** Makes a bare repository with one commit, ready to be served as plain files; returns its path. */
export async function repository(directory: Directory): Promise<string> {
  const bare = directory.join("project.git");
  const work = directory.join("work");
  const git = (...args: string[]) => must("git", args, { env: gitEnvironment });
  await git("init", "-q", "-b", "main", work);
  directory.write("work/blob", blob);
  await git("-C", work, "add", "blob");
  await git("-C", work, "commit", "-q", "-m", "Add the blob");
  await git("clone", "-q", "--bare", work, bare);
  await git("-C", bare, "update-server-info");
  return bare;
}

/** Clones with these settings and answers the hash of the blob that arrived. */
export async function clone(directory: Directory, url: string, settings: readonly string[]): Promise<string> {
  const to = directory.join(`clone-${crypto.randomUUID()}`);
  const chosen = settings.flatMap((setting) => ["-c", setting]);
  await must("git", [...chosen, "clone", "-q", url, to], { env: gitEnvironment, timeout: 50_000 });
  const file = join(to, "blob");
  return existsSync(file) ? sha256(readFileSync(file)) : "no blob";
}
