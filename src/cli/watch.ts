/**
 * Files that are looked at from time to time.
 *
 * @module
 */
import { stampOf } from "../config/files.ts";

const everyMs = 500;

/**
 * Calls `changed` when one of `files`, which come with what each was when it was read, has changed and stands still
 * again, until the function that it returns is called. It asks for their stamps: that works on every
 * file system, for links, and for editors that put a new file in the place of the old one.
 */
export function watchFiles(
  files: () => ReadonlyMap<string, string>,
  changed: () => Promise<void>,
): () => void {
  const stamps = new Map<string, string>();
  let stopped = false;
  let unread = false;
  async function look(): Promise<void> {
    let moved = false;
    for (const [path, read] of [...files()]) {
      const stamp = await stampOf(path);
      moved ||= (stamps.get(path) ?? read) !== stamp;
      stamps.set(path, stamp);
    }
    // Who is still writing is not done in the meantime.
    if (unread && !moved) await changed();
    unread = moved;
    if (!stopped) setTimeout(look, everyMs);
  }
  look();
  return () => stopped = true;
}
