/**
 * The module's public surface: these names and no others, and no program that starts by itself.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as hopline from "@hopline/hopline";
import { command, root } from "../support/hopline.ts";
import { must } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const values = [
  "AddressError",
  "ConfigError",
  "ListenError",
  "ProxyError",
  "chain",
  "defineConfig",
  "direct",
  "fetchThrough",
  "h2",
  "http",
  "serve",
  "socks4",
  "socks5",
  "tls",
];

const types = [
  "Client",
  "ConfigInput",
  "Conn",
  "Context",
  "DialedFetch",
  "Dialer",
  "Endpoint",
  "ErrorCode",
  "Failure",
  "Fetch",
  "Fields",
  "Hop",
  "HopSettings",
  "Level",
  "Log",
  "Outgoing",
  "Problem",
  "Server",
  "ServerOptions",
  "Side",
  "Stage",
  "TlsClientOptions",
];

test("mod.ts exports these values", () => {
  assertEquals(Object.keys(hopline).sort(), values);
});

test("mod.ts exports these types beside them", () => {
  const source = readFileSync(join(root, "mod.ts"), "utf8");
  const names = [...source.matchAll(/^export (type )?\{([^}]*)\}/gm)].flatMap(([, all, list]) =>
    list.split(",").map((name) => name.trim()).filter(Boolean).map((name) => all ? `type ${name}` : name)
  );
  const exported = (kind: (name: string) => boolean) =>
    names.filter(kind).map((name) => name.replace("type ", "")).sort();
  assertEquals(exported((name) => !name.startsWith("type ")), values);
  assertEquals(exported((name) => name.startsWith("type ")), types);
  assertEquals(/^export \*|^export (const|function|class|default)/m.test(source), false);
});

test("importing the module does not run the command line", async () => {
  using directory = temporaryDirectory();
  const file = directory.write(
    "import.ts",
    `import { chain } from ${JSON.stringify(join(root, "mod.ts"))};\nconsole.log(typeof chain);\n`,
  );
  const [runtime, ...before] = command.slice(0, -1);
  const map = "Bun" in globalThis ? [] : ["--config", join(root, "deno.json")];
  const { stdout, stderr } = await must(runtime, [...before, ...map, file, "--help"]);
  assertEquals([String(stdout), stderr], ["function\n", ""]);
});
