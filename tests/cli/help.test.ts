/**
 * The command line explains itself: help for every command with every option of the contract, the version, the schema.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { jsonSchema } from "../../src/config/schema.ts";
import { command, hoplineCommand, root } from "../support/hopline.ts";
import { must } from "../support/process.ts";

async function printed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await hoplineCommand(args);
  assertEquals([code, stderr], [0, ""]);
  return String(stdout);
}

test("--help gives an overview of every command and of the exit status", async () => {
  const text = await printed("--help");
  for (
    const word of [
      "[serve]",
      "check FILE",
      "explain TARGET",
      "trace TARGET",
      "connect TARGET",
      "import FILE",
      "passwd USER",
      "schema",
      "COMMAND --help",
      "--version",
    ]
  ) {
    assertStringIncludes(text, word);
  }
  assertMatch(text, /exit status: 0 .*1 .*2 /i);
  assertEquals(await printed("-h"), text);
});

const options: Record<string, readonly string[]> = {
  serve: ["-c FILE", "-L LISTENER", "-F HOP", "--watch", "--log-level", "--log-format", "--workers"],
  check: ["FILE", "--json"],
  explain: ["TARGET", "-c FILE", "-F HOP", "--json", "--user", "--from", "--listener", "--protocol"],
  trace: ["TARGET", "-c FILE", "-F HOP", "--count", "--json", "--user", "--from", "--listener", "--protocol"],
  connect: ["TARGET", "-c FILE", "-F HOP"],
  import: ["FILE", "--env", "--from", "gost", "proxychains", "glider", "sing-box"],
  passwd: ["USER", "users.txt", "SIGHUP"],
  schema: ["schema"],
};

for (const [command, words] of Object.entries(options)) {
  test(`${command} --help shows its usage and every option`, async () => {
    const text = await printed(command, "--help");
    assertMatch(text, new RegExp(`^Usage: hopline \\[?${command}`));
    for (const word of words) assertStringIncludes(text, word);
    assertEquals(text.split("\n").filter((line) => line.length > 120), []);
  });
}

test("serve --help shows every URL form and URL option of the contract that this version has", async () => {
  const text = await printed("serve", "--help");
  const schemes = [
    "http://",
    "https://",
    "socks5://",
    "socks4a://",
    "socks4://",
    "+tls://",
    "auto://",
    "tcp://",
  ];
  const hop = [
    "sni=",
    "ca=",
    "cert=",
    "key=",
    "pin=sha256/",
    "alpn=",
    "insecure=true",
    "resolve=local",
    "timeout=",
  ];
  const listener = ["client-ca=", "open=true"];
  const levels = ["error", "warn", "info", "debug", "text", "json"];
  for (const word of [...schemes, ...hop, ...listener, ...levels, "SIGHUP", "SIGTERM", "SIGINT"]) {
    assertStringIncludes(text, word);
  }
});

test("the help of serve, the default command, is had behind its options too", async () => {
  const text = await printed("serve", "--help");
  assertEquals(await printed("-L", "127.0.0.1:0", "--help"), text);
});

test("--version prints the version of the manifest", async () => {
  const { version } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  assertEquals(await printed("--version"), `hopline ${version}\n`);
  assertEquals(await printed("-V"), `hopline ${version}\n`);
  assertEquals(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version, version);
});

test("schema prints a JSON Schema that knows every key of the file", async () => {
  const { $schema, properties } = JSON.parse(await printed("schema"));
  assertMatch($schema, /^https:\/\/json-schema\.org\//);
  for (const key of ["listeners", "hops", "chains", "timeouts", "limits", "log"]) {
    assertMatch(properties[key].description, /^[A-Z].*\.$/);
  }
});

test("a reader that is slow gets all that is printed", async () => {
  const line = [...command, "schema"].map((word) => `'${word}'`).join(" ");
  const { stdout } = await must("/bin/sh", ["-c", `${line} | { sleep 0.5; cat; }`]);
  // More than fits into a pipe.
  assert(stdout.length > 100_000);
  assertEquals(JSON.parse(String(stdout)), jsonSchema());
});
