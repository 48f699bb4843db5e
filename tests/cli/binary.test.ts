/**
 * The program as one binary: it needs neither the sources nor node_modules beside it, nor a runtime.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { fromUtf8 } from "../support/bytes.ts";
import { root } from "../support/hopline.ts";
import { afterEndOrigin, echoOrigin, type Origin } from "../support/origins.ts";
import { eventually, must, run, start } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { socks5 } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { bulk } from "./bulk.ts";
import { endpoint } from "./program.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const binary = directory.join("hopline");
let echo: Origin;
/** In an empty directory, and with nothing on the PATH that could help it. */
const alone = { cwd: directory.path, env: { PATH: "/nonexistent" } };

before(async () => {
  echo = stack.use(await echoOrigin());
  const [bun, ...before] = "Bun" in globalThis ? [process.execPath] : ["npx", "-y", "bun@1.4.5"];
  const sources = ["mod.ts", "src/runtime/splice/worker.ts"].map((path) => join(root, path));
  const args = [...before, "build", "--compile", ...sources, "--outfile", binary];
  await must(bun, args, { cwd: directory.path, timeout: 55_000 });
});
after(() => stack.disposeAsync());

test("--version", async () => {
  const { version } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const { code, stdout } = await run(binary, ["--version"], alone);
  assertEquals([code, String(stdout)], [0, `hopline ${version}\n`]);
});

for (
  const [name, text] of [
    ["a.json", `{ "listeners": ["127.0.0.1:0"] }`],
    ["a.yaml", `listeners: ["127.0.0.1:0"]\n`],
    ["a.toml", `listeners = ["127.0.0.1:0"]\n`],
    ["a.ts", `const port: number = 0;\nexport default { listeners: [\`127.0.0.1:\${port}\`] };\n`],
    [
      "b.ts",
      `import { defineConfig } from "@hopline/hopline";\n` +
      `export default defineConfig({ listeners: ["127.0.0.1:0"] });\n`,
    ],
  ]
) {
  test(`check ${name}`, async () => {
    directory.write(name, text);
    const { code, stdout, stderr } = await run(binary, ["check", name], alone);
    assertEquals([code, String(stdout), stderr], [0, `${name}: ok, 1 listener, 0 hops, 0 chains\n`, ""]);
  });
}

test("a SOCKS5 tunnel, and an end by SIGTERM", async () => {
  await using proxy = start(binary, ["-L", "127.0.0.1:0"], alone);
  const ready = () => /listener\.ready listener=(\S+)/.exec(proxy.output())?.[1];
  using wire = await Wire.to(endpoint(await eventually(proxy.output, ready)));
  wire.send(socks5.ask(echo), "early");
  assertEquals(await socks5.answer(wire), 0);
  assertEquals(fromUtf8(await wire.read(5)), "early");
  wire.end();
  await wire.ending();
  assertEquals(await proxy.stop("SIGTERM"), 0);
  assertMatch(proxy.output(), /tunnel\.closed .*bytesUp=5 bytesDown=5/);
});

test("the kernel moves a bulk tunnel: the worker is in the binary", async () => {
  await using proxy = start(binary, ["-L", "127.0.0.1:0"], alone);
  const ready = () => /listener\.ready listener=(\S+)/.exec(proxy.output())?.[1];
  const { carried } = await bulk(proxy.pid, await eventually(proxy.output, ready), echo, 2);
  assertEquals(carried, 2);
  assertEquals(await proxy.stop("SIGTERM"), 0);
});

test("several workers are run from the same binary", async () => {
  await using proxy = start(binary, ["-L", "127.0.0.1:0", "--workers", "2"], alone);
  const ready = () => /listener\.ready listener=(\S+)/.exec(proxy.output())?.[1];
  const address = endpoint(await eventually(proxy.output, ready));
  assertEquals(proxy.output().match(/worker\.started/g)?.length, 2);
  for (let n = 0; n < 8; n++) {
    using wire = await Wire.to(address);
    wire.send(socks5.ask(echo), "early");
    assertEquals(await socks5.answer(wire), 0);
  }
  assertEquals(await proxy.stop("SIGTERM"), 0);
});

test("connect", async () => {
  await using origin = await afterEndOrigin();
  const { code, stdout } = await run(binary, ["connect", origin.address], { ...alone, input: "hello" });
  assertEquals([code, String(stdout)], [0, "hello"]);
});
