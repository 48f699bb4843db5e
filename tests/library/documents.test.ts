/**
 * What the documentation shows is true: its programs run and print what it says they print, its configurations are
 * valid.
 *
 * @module
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import type { Format } from "../../src/config/source.ts";
import { authority } from "../support/certificates.ts";
import { command, root } from "../support/hopline.ts";
import { must } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { type Block, blocks } from "./documents.ts";

const all = blocks();
const stack = new AsyncDisposableStack();
/** Where the files lie that the configurations name. */
const files = stack.use(temporaryDirectory());
/** Within the checkout, so that `@hopline/hopline` is found as it is by the examples. */
const programs = mkdtempSync(join(root, "tests", ".tmp-"));
stack.defer(() => rmSync(programs, { recursive: true, force: true }));
after(() => stack.disposeAsync());
before(async () => {
  files.write("alice.secret", "correct horse\n");
  await must("cp", [join(root, "examples", "users.txt"), files.join("users.txt")]);
  const issuer = await authority(files, "documents");
  for (const name of ["cert", "relay"]) {
    const { cert, key } = await issuer.issue("localhost");
    await must("cp", [cert, files.join(`${name}.pem`)]);
    await must("cp", [key, files.join(`${name}.key`)]);
  }
  await must("cp", [files.join("cert.key"), files.join("key.pem")]);
});

const runtime = "Bun" in globalThis ? [command[0]] : [command[0], "run", "-A", "--no-prompt"];

test("there are examples", () => {
  for (const language of ["ts", "jsonc", "json", "yaml", "toml"]) {
    assertNotEquals(all.filter((block) => block.language === language), [], language);
  }
});

for (const [index, { place, text }] of all.filter(({ language }) => language === "ts").entries()) {
  test(`the program at ${place} runs, and prints what it says`, async () => {
    const file = join(programs, `${index}.ts`);
    writeFileSync(file, text);
    const [program, ...args] = runtime;
    const { stdout } = await must(program, [...args, file], { cwd: root });
    const printed = String(stdout).split("\n").slice(0, -1);
    const said = [...text.matchAll(/console\.log\(.*\); +\/\/ (.+)$/gm)].map(([, value]) => value);
    const silent = text.match(/console\.log/g)?.length !== said.length;
    assertEquals(silent ? printed.filter((line) => said.includes(line)) : printed, said);
  });
}

const formats: Record<string, Format> = { json: "json", jsonc: "json", yaml: "yaml", toml: "toml" };

for (const block of all.filter(({ language }) => language in formats)) {
  test(`the configuration at ${block.place} is valid`, async () => {
    const { hops, listeners, chains } = await parseConfig(whole(block), {
      format: formats[block.language],
      directory: files.path,
      environment: (name) => name.toLowerCase(),
    });
    assertNotEquals(listeners.length + Object.keys(hops).length + Object.keys(chains).length, 0);
  });
}

/** A part of a configuration, put where it belongs. */
function whole({ language, text }: Block): string {
  if (language !== "json") return text;
  const part = JSON.parse(text);
  if ("protocol" in part) return JSON.stringify({ hops: { part } });
  if ("address" in part) return JSON.stringify({ listeners: [part] });
  return JSON.stringify({ hops: { office: "http://proxy.corp.example" }, ...part });
}
