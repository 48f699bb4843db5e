/**
 * The house rules that a compiler does not check.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Every source file, as `src/…` with forward slashes, and its text. */
const sources = new Map(
  readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .map((path) => `src/${path.replaceAll("\\", "/")}`)
    .filter((path) => path.endsWith(".ts"))
    .map((path) => [path, readFileSync(join(root, path), "utf8")]),
);

function within(folder: string): string[] {
  return [...sources.keys()].filter((path) => path.startsWith(`src/${folder}/`));
}

/** What a file imports: `src/…` for our own files, the specifier for all else. Examples in comments do not count. */
function imports(path: string): string[] {
  const code = sources.get(path)!.replace(/\/\*[\s\S]*?\*\//g, "");
  const written =
    /^(?:import|export)\b(?:[\w\s{},*]*\bfrom)?\s*"([^"]+)"|\bimport\(\s*"([^"]+)"|\bnew URL\(\s*"([^"]+)"/gm;
  const specifiers = [...code.matchAll(written)].map((match) =>
    match.slice(1).find((to) => to !== undefined)!
  );
  return specifiers.map((to) => to.startsWith(".") ? posix.join(posix.dirname(path), to) : to);
}

/** Which of the imports of these files are not allowed, as `file -> import`. */
function offences(paths: readonly string[], allowed: (to: string, path: string) => boolean): string[] {
  return paths.flatMap((path) =>
    imports(path).filter((to) => !allowed(to, path)).map((to) => `${path} -> ${to}`)
  );
}

/** The protocol of a file: `tls_stream.ts` belongs to `tls`. HTTP/2 is HTTP: they share what CONNECT means. */
function protocolOf(path: string): string {
  const [name] = posix.basename(path).split(/[_.]/);
  return name === "h2" ? "http" : name;
}

test("the rules look at something", () => {
  assert(within("core").length >= 9 && within("protocols").length >= 4 && within("runtime").length >= 3);
  assert(imports("src/protocols/socks5.ts").includes("src/core/serve.ts"));
  assert(imports("src/core/address.ts").includes("ipaddr.js"));
  assert(imports("src/runtime/runtime.ts").includes("src/runtime/deno.ts"), "dynamic imports are seen");
  const folders = new Set([...sources.keys()].map((path) => posix.dirname(path).split("/")[1] ?? "."));
  assertEquals([...folders].sort(), [
    ".",
    "cli",
    "config",
    "core",
    "import",
    "names",
    "protocols",
    "routing",
    "runtime",
  ]);
  assertEquals(["tls.ts", "tls_stream.ts", "http_connect.ts", "h2_hop.ts"].map(protocolOf), [
    "tls",
    "tls",
    "http",
    "http",
  ]);
});

test("the core imports nothing but itself, and arithmetic of addresses", () => {
  assertEquals(offences(within("core"), (to) => to.startsWith("src/core/") || to === "ipaddr.js"), []);
});

test("the core knows no runtime", () => {
  const globals = within("core").filter((path) =>
    /\b(?:Deno|Bun|process|Buffer)\s*\./.test(sources.get(path)!)
  );
  assertEquals(globals, []);
});

test("a protocol imports the core and its own files, neither a runtime nor another protocol", () => {
  const allowed = (to: string, path: string) =>
    to.startsWith("src/core/") || to.startsWith("node:") ||
    to.startsWith("src/protocols/") && protocolOf(to) === protocolOf(path);
  assertEquals(offences(within("protocols"), allowed), []);
});

test("a runtime imports the core and its own files", () => {
  const allowed = (to: string) =>
    to.startsWith("src/core/") || to.startsWith("src/runtime/") || to.startsWith("node:") || to === "bun" ||
    to === "bun:ffi";
  assertEquals(offences(within("runtime"), allowed), []);
});

test("the kernel relay imports the core and its own files, and what descriptors there are", () => {
  const allowed = (to: string) =>
    to.startsWith("src/core/") || to.startsWith("src/runtime/splice/") || to.startsWith("node:") ||
    to === "src/runtime/descriptors.ts" || to === "bun:ffi";
  assertEquals(offences(within("runtime/splice"), allowed), []);
});

test("routes are found by what the core, the configuration and the registry say", () => {
  const allowed = (to: string) =>
    ["core/", "routing/", "config/"].some((folder) => to.startsWith(`src/${folder}`)) ||
    to === "src/registry.ts" || to === "src/log.ts";
  assertEquals(offences(within("routing"), allowed), []);
  const pure = ["pattern", "rule", "rule_index", "special_use"].map((name) => `src/routing/${name}.ts`);
  assertEquals(offences(pure, (to) => to.startsWith("src/core/") || pure.includes(to)), []);
});

test("names are looked up without a server or a runtime", () => {
  const folders = ["core/", "names/", "config/", "protocols/", "routing/"];
  const allowed = (to: string) =>
    folders.some((folder) => to.startsWith(`src/${folder}`)) || to === "node:buffer" || to === "dns-packet";
  assertEquals(offences(within("names"), allowed), []);
});

test("a configuration knows what it is made of, not who serves it", () => {
  const known = [
    "core/",
    "config/",
    "passwords.ts",
    "gate.ts",
    "routing/pattern.ts",
    "routing/rule.ts",
    "names/hosts.ts",
  ];
  const files = ["node:crypto", "node:fs/promises", "node:path", "node:process", "node:url"];
  const parsers = ["jsonc-parser", "toml-eslint-parser", "yaml", "zod"];
  const allowed = (to: string) =>
    known.some((path) => to.startsWith(`src/${path}`)) || files.includes(to) || parsers.includes(to);
  assertEquals(offences(within("config"), allowed), []);
});

test("an importer writes configurations, and serves none", () => {
  const allowed = (to: string) =>
    ["core/", "config/", "import/"].some((folder) => to.startsWith(`src/${folder}`)) || to === "node:process";
  assertEquals(offences(within("import"), allowed), []);
});

test("nothing but the command line imports the command line, and little the server", () => {
  const others = [...sources.keys()].filter((path) => !path.startsWith("src/cli/"));
  assertEquals(offences(others, (to) => !to.startsWith("src/cli/")), []);
  const below = others.filter((path) => path !== "src/library.ts" && path !== "src/fetch.ts");
  assertEquals(offences(below, (to) => to !== "src/server.ts"), []);
});

test("only a runtime touches a socket", () => {
  const others = [...sources.keys()].filter((path) => !path.startsWith("src/runtime/"));
  const sockets = ["node:net", "net", "node:dgram", "node:http", "node:https", "bun", "bun:ffi"];
  assertEquals(offences(others, (to) => !sockets.includes(to)), []);
  const calls =
    /\b(?:Deno\.(?:connect|listen|startTls|dlopen|serve)|Bun\.(?:connect|listen|serve|udpSocket))\w*/;
  assertEquals(others.filter((path) => calls.test(sources.get(path)!)), []);
});

test("a file is a room: no more than 330 lines, and 600 for a test", () => {
  const texts = [...sources].map(([path, text]) => [path, text, 330] as const);
  const tests = readdirSync(join(root, "tests"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => [`tests/${path}`, readFileSync(join(root, "tests", path), "utf8"), 600] as const);
  assert(tests.length > 100);
  const long = [...texts, ...tests]
    .map(([path, text, most]) => ({ path, lines: text.split("\n").length - 1, most }))
    .filter(({ lines, most }) => lines > most);
  assertEquals(long, []);
});
