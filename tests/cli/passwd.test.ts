/**
 * `hopline passwd`: asks on a terminal, reads a pipe, prints one line and never the password.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { parseHash, verifyPassword } from "../../src/passwords.ts";
import { command, hoplineCommand } from "../support/hopline.ts";
import { run } from "../support/process.ts";

test("a password from a pipe becomes the user's line", async () => {
  for (const input of ["correct: hörse", "correct: hörse\n", "correct: hörse\r\n"]) {
    const { code, stdout, stderr } = await hoplineCommand(["passwd", "al ice"], { input });
    assertEquals([code, stderr], [0, ""]);
    const [, hash] = /^al ice:(.*)\n$/.exec(String(stdout))!;
    assertEquals(await verifyPassword("correct: hörse", parseHash(hash)!), true);
  }
});

/** Runs it on a terminal, where everything is typed ahead. */
async function typed(keys: string): Promise<{ code: number | null; shown: string }> {
  const line = [...command, "passwd", "alice"].map((word) => `'${word}'`).join(" ");
  const { code, stdout } = await run("script", ["-qec", line, "/dev/null"], { input: keys });
  return { code, shown: String(stdout).replaceAll("\r", "") };
}

test("on a terminal it asks twice", async () => {
  const { code, shown } = await typed("hunter2\nhunter2\n");
  assertEquals(code, 0);
  assertMatch(shown, /Password: [^]*Again: /);
  const [, hash] = /^alice:(.*)$/m.exec(shown)!;
  assertEquals(await verifyPassword("hunter2", parseHash(hash)!), true);
});

test("two passwords that differ are none", async () => {
  const { code, shown } = await typed("hunter2\nhunter3\n");
  assertEquals(code, 2);
  assertMatch(shown, /hopline: the two passwords are not the same\n$/);
});

const wrong: [args: string[], input: string, says: string][] = [
  [[], "", "passwd needs USER; see hopline passwd --help"],
  [["alice"], "", "expected a password of 1 to 255 bytes, found 0"],
  [["alice"], "x".repeat(256), "expected a password of 1 to 255 bytes, found 256"],
  [["al:ice"], "x", "USER is 1 to 255 bytes without a colon or control character, and begins with no #"],
  [["#alice"], "x", "USER is 1 to 255 bytes without a colon or control character, and begins with no #"],
];

for (const [args, input, says] of wrong) {
  test(`refused: ${says}${args[0] === undefined ? "" : ` (${args[0]})`}`, async () => {
    const { code, stdout, stderr } = await hoplineCommand(["passwd", ...args], { input });
    assertEquals([code, String(stdout), stderr], [2, "", `hopline: ${says}\n`]);
  });
}
