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
  const specifiers = [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]);
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

test("only a runtime touches a socket", () => {
  const others = [...sources.keys()].filter((path) => !path.startsWith("src/runtime/"));
  const sockets = ["node:net", "net", "node:dgram", "node:http", "node:https", "bun", "bun:ffi"];
  assertEquals(offences(others, (to) => !sockets.includes(to)), []);
  const calls =
    /\b(?:Deno\.(?:connect|listen|startTls|dlopen|serve)|Bun\.(?:connect|listen|serve|udpSocket))\w*/;
  assertEquals(others.filter((path) => calls.test(sources.get(path)!)), []);
});

test("a file is a room: no more than 330 lines", () => {
  const long = [...sources].map(([path, text]) => [path, text.split("\n").length - 1] as const)
    .filter(([, lines]) => lines > 330);
  assertEquals(long, []);
});
