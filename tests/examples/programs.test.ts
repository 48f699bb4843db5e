/**
 * The examples that are programs print what they are there to show; and no example is without a test.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command, root } from "../support/hopline.ts";
import { must } from "../support/process.ts";

const runtime = "Bun" in globalThis ? [command[0]] : [command[0], "run", "-A", "--no-prompt"];

async function printed(example: string): Promise<string> {
  const [program, ...args] = runtime;
  const { stdout, stderr } = await must(program, [...args, join(root, "examples", example)], { cwd: "/" });
  assertEquals(stderr, "");
  return String(stdout);
}

test("every example has its test", () => {
  assertEquals(readdirSync(join(root, "examples")).sort(), [
    "alice.secret",
    "certificates",
    "demo.ts",
    "gost.sh",
    "groups.jsonc",
    "ingress.jsonc",
    "laptop.jsonc",
    "module.ts",
    "names.jsonc",
    "relay.yaml",
    "sites.jsonc",
    "ssh_config",
    "users.jsonc",
    "users.txt",
  ]);
});

test("demo.ts gets through the chain, and says who refuses without it", async () => {
  const text = await printed("demo.ts");
  assertMatch(text, /^web server +127\.0\.0\.1:\d+\noffice proxy +127\.0\.0\.1:\d+ /);
  assertMatch(text, /\nthrough the chain: Hello from outside!\n/);
  assertMatch(
    text,
    /\nwithout the relay: hop 1, office \(http 127\.0\.0\.1:\d+\), request: .*403 Forbidden.*\n$/,
  );
});

test("module.ts reaches its target through two hops, and shows what an error says", async () => {
  assertMatch(await printed("module.ts"), /^HTTP\/1\.1 400 [^\n]+\nhop 2, stage request: refused\n$/);
});
