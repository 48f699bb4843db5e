/**
 * `hopline check`: exit status 0 or 2, and every problem with its file, line and column, or as JSON.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { hoplineCommand, root } from "../support/hopline.ts";
import { expired, otherKey } from "../support/pem.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const directory = temporaryDirectory();
after(() => directory[Symbol.dispose]());

const check = async (...args: string[]) => {
  const { code, stdout, stderr } = await hoplineCommand(["check", ...args], { cwd: directory.path });
  return { code, stdout: String(stdout), stderr };
};

const good: Record<string, string> = {
  "good.json": `{ "listeners": ["127.0.0.1:1080"], "chains": { "out": ["socks5://a:b@relay.example.net"] } }`,
  "good.jsonc": `{ // a comment\n  "listeners": ["127.0.0.1:1080"], "chains": { "out": ["http://relay"] }, }`,
  "good.yaml": `listeners: ["127.0.0.1:1080"]\nchains: { out: ["http://relay"] }\n`,
  "good.yml": `listeners:\n  - 127.0.0.1:1080\nchains:\n  out:\n    - http://relay\n`,
  "good.toml": `listeners = ["127.0.0.1:1080"]\n[chains]\nout = ["http://relay"]\n`,
  "good.ts": `const port: number = 1080;\n` +
    `export default { listeners: [\`127.0.0.1:\${port}\`], chains: { out: ["http://relay"] } };\n`,
};

for (const [name, text] of Object.entries(good)) {
  test(`${name} is good`, async () => {
    directory.write(name, text);
    const line = `${name}: ok, 1 listener, 0 hops, 1 chain\n`;
    assertEquals(await check(name), { code: 0, stdout: line, stderr: "" });
    const { code, stdout } = await check(name, "--json");
    assertEquals(code, 0);
    assertEquals(JSON.parse(stdout), {
      ok: true,
      file: name,
      listeners: 1,
      hops: 0,
      chains: 1,
      warnings: [],
      notes: [],
    });
  });
}

const bad = `{
  "listeners": [
    { "address": "127.0.0.1:99999" },
    { "address": "0.0.0.0:1080" }
  ],
  "hosp": {},
  "hops": { "office": "http://alice:hunter2@proxy:x" },
  "chains": { "out": ["offise"] },
  "timeouts": { "idle": "soon" }
}
`;

test("every problem is printed, each with its place, in the order of the file", async () => {
  directory.write("bad.json", bad);
  const { code, stdout, stderr } = await check("bad.json");
  assertEquals([code, stdout], [2, ""]);
  const lines = stderr.trimEnd().split("\n");
  const places = lines.map((line) => /^bad\.json:(\d+):\d+: ([^:]+): /.exec(line)?.slice(1));
  assertEquals(places, [
    ["3", "listeners[0].address"],
    ["4", "listeners[1].address"],
    ["6", "hosp"],
    ["7", "hops.office"],
    ["8", "chains.out[0]"],
    ["9", "timeouts.idle"],
  ]);
  assertMatch(lines[2], /did you mean `hops`\?/);
  assertMatch(lines[4], /did you mean `office`\?/);
  assertEquals(stderr.includes("hunter2"), false);
});

test("--json gives the same problems as one object", async () => {
  directory.write("bad.json", bad);
  const { code, stdout, stderr } = await check("--json", "bad.json");
  assertEquals([code, stderr], [2, ""]);
  const { ok, file, problems } = JSON.parse(stdout);
  assertEquals([ok, file, problems.length], [false, "bad.json", 6]);
  assertEquals(Object.keys(problems[0]).sort(), ["column", "file", "line", "message", "path"]);
  assertEquals([problems[0].line, problems[0].column, problems[0].path], [3, 18, "listeners[0].address"]);
});

test("a file that can't be read or understood is a problem with a place", async () => {
  directory.write("broken.yaml", "listeners:\n  - [\n");
  directory.write("broken.toml", "listeners = [\n");
  directory.write("broken.ts", "export const nothing = 1;\n");
  directory.write("config.ini", "[listeners]\n");
  const rows: [string, RegExp][] = [
    ["missing.json", /^missing\.json: cannot read .*no such file\n$/],
    ["broken.yaml", /^broken\.yaml:\d+:\d+: /],
    ["broken.toml", /^broken\.toml:\d+:\d+: /],
    ["broken.ts", /^broken\.ts: expected `export default defineConfig/],
    ["config.ini", /^config\.ini: expected a file whose name ends in/],
  ];
  for (const [file, says] of rows) {
    const { code, stderr } = await check(file);
    assertEquals(code, 2);
    assertMatch(stderr, says);
  }
});

test("a certificate that has expired is a warning with its place, and no problem", async () => {
  directory.write("expired.pem", expired);
  directory.write("expired.key", otherKey);
  directory.write(
    "expired.json",
    `{
  "listeners": ["socks5+tls://127.0.0.1:1080?cert=expired.pem&key=expired.key"],
  "hops": { "a": {
    "protocol": "https", "address": "h", "tls": { "certificate": "expired.pem", "key": "expired.key" }
  } }
}`,
  );
  const message = "the certificate has expired on 2026-11-20T13:46:56Z";
  assertEquals(await check("expired.json"), {
    code: 0,
    stdout: "expired.json: ok, 1 listener, 1 hop, 0 chains\n",
    stderr: `expired.json:2:17: listeners[0].tls.certificate: warning: ${message}\n` +
      `expired.json:4:66: hops.a.tls.certificate: warning: ${message}\n`,
  });
  const { code, stdout, stderr } = await check("expired.json", "--json");
  assertEquals([code, stderr], [0, ""]);
  assertEquals(JSON.parse(stdout).warnings, [
    { path: "listeners[0].tls.certificate", message, file: "expired.json", line: 2, column: 17 },
    { path: "hops.a.tls.certificate", message, file: "expired.json", line: 4, column: 66 },
  ]);
});

test("relative paths start at the file, and a missing variable is named", async () => {
  directory.write("alice.secret", "swordfish\n");
  const users = [{ username: "alice", password: { file: "alice.secret" } }];
  const listener = { address: "127.0.0.1:${HOPLINE_TEST_PORT}", users };
  const path = directory.write("variable.json", JSON.stringify({ listeners: [listener] }));
  const missing = await hoplineCommand(["check", path], { cwd: "/" });
  assertEquals(missing.code, 2);
  assertMatch(missing.stderr, /variable\.json:1:\d+: .*HOPLINE_TEST_PORT/);
  const env = { HOPLINE_TEST_PORT: "1080" };
  assertEquals((await hoplineCommand(["check", path], { cwd: "/", env })).code, 0);
});

test("a program may import defineConfig from the very module that is checking it", async () => {
  // Within the checkout, where the name is known.
  using checkout = new DisposableStack();
  const place = checkout.adopt(
    mkdtempSync(join(root, "tests", ".tmp-")),
    (path) => rmSync(path, { recursive: true }),
  );
  const file = join(place, "hopline.config.ts");
  const source = `import { defineConfig } from "@hopline/hopline";\n` +
    `export default defineConfig({ listeners: ["127.0.0.1:0"] });\n`;
  writeFileSync(file, source);
  const { code, stderr } = await check(file);
  assertEquals([code, stderr], [0, ""]);
});

test("a program may import defineConfig where nothing is installed", async () => {
  directory.write(
    "hopline.config.ts",
    `import { defineConfig } from "@hopline/hopline";\n` +
      `export default defineConfig({ listeners: ["127.0.0.1:0"] });\n`,
  );
  const { code, stderr } = await check("hopline.config.ts");
  assertEquals([code, stderr], [0, ""]);
});

test("nothing is connected to and nothing listens while a file is checked", async () => {
  directory.write(
    "elsewhere.json",
    `{ "listeners": ["192.0.2.1:1?open=true"], "chains": { "out": ["http://192.0.2.2"] } }`,
  );
  assertEquals((await check("elsewhere.json")).code, 0);
});

test("a file name cannot write to the terminal", async () => {
  const name = "evil\x1b[2J.json";
  directory.write(name, good["good.json"]);
  const { code, stdout } = await check(name);
  assertEquals([code, stdout], [0, "evil\\x1b[2J.json: ok, 1 listener, 0 hops, 1 chain\n"]);
});
