/**
 * gost.sh, imported as its first line says.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { after, test } from "node:test";
import { hoplineCommand, root } from "../support/hopline.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const directory = temporaryDirectory();
after(() => directory[Symbol.dispose]());

test("gost.sh becomes a configuration; the certificate that gost did not verify is told of", async () => {
  const cwd = join(root, "examples");
  const { code, stdout, stderr } = await hoplineCommand(["import", "gost.sh"], { cwd });
  assertEquals(code, 0);
  assertStringIncludes(stderr, "gost.sh:5: -F: gost checked this certificate by its `ca` alone");
  const file = directory.write("out.jsonc", String(stdout).replace("certificates/", `${cwd}/certificates/`));
  const env = { OFFICE_USER: "bob", OFFICE_PASSWORD: "p@ss/word" };
  const checked = await hoplineCommand(["check", file], { env });
  assertEquals([checked.code, checked.stderr], [0, ""]);
});
