/**
 * users.jsonc lets those of users.txt in, and nobody else.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fetchThrough } from "../support/fetch.ts";
import { hopline, root } from "../support/hopline.ts";
import { webOrigin } from "../support/origins.ts";
import { temporaryDirectory } from "../support/temporary.ts";

test("alice gets in with her password", async () => {
  using directory = temporaryDirectory();
  const example = (name: string) => readFileSync(join(root, "examples", name), "utf8");
  directory.write("users.txt", example("users.txt"));
  const config = directory.write("users.jsonc", example("users.jsonc").replace(":1080", "127.0.0.1:0"));
  await using house = await hopline(["-c", config]);
  await using origin = await webOrigin();
  const port = house.address.split(":").at(-1);
  const code = async (user: string) =>
    (await fetchThrough("socks5", `${user}@127.0.0.1:${port}`, origin.url)).code;
  assertEquals([await code("alice:secret"), await code("alice:wrong"), await code("bob:secret")], [
    0,
    97,
    97,
  ]);
});
