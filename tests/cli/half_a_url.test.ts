/**
 * Half a URL, with its host forgotten: what stands behind the colon may be a password, and is not repeated.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { hoplineCommand } from "../support/hopline.ts";

const lines = {
  "as a command": [["alice:hunter2"], "unknown command"],
  "as a hop": [["-F", "alice:hunter2"], "-F 1: expected a hop's name or URL"],
  "as a target": [["connect", "alice:hunter2"], "TARGET is host:port"],
} as const;

for (const [name, [args, says]] of Object.entries(lines)) {
  test(`half a URL ${name} is refused without being quoted`, async () => {
    const { code, stderr, stdout } = await hoplineCommand(args);
    assertEquals(code, 2);
    assertStringIncludes(stderr, says);
    assertEquals(`${stderr}${stdout}`.includes("hunter2"), false, stderr);
  });
}
