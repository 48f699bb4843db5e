/** Where configurations come from: files of every kind, flags, code, the environment, and the files they name. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { configFromFlags, loadConfig, parseConfig, validateConfig } from "../../src/config/load.ts";
import { ConfigError, formatProblem } from "../../src/config/problems.ts";
import { type ConfigInput, theChain } from "../../src/config/schema.ts";
import { root } from "../support/hopline.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { hopsOf } from "./elements.ts";

const noVariables = () => undefined;

/** The problems of whatever is being loaded, as a person sees them. */
async function problems(load: () => Promise<unknown>): Promise<string[]> {
  const error = await assertRejects(load, ConfigError) as ConfigError;
  assertEquals(error.message, error.problems.map(formatProblem).join("\n"));
  return error.problems.map(formatProblem);
}

const sameInEveryFormat: Record<string, string> = {
  "a.json": `{ "listeners": ["127.0.0.1:1"], "hops": { "exit": { "protocol": "https", "address": "h",
    "tls": { "ca": "ca.pem" }, "username": "alice", "password": { "file": "secret" } } },
    "chains": { "out": ["exit"] }, "timeouts": { "idle": "5m" } }`,
  "a.jsonc": `\ufeff{
    // the same, without TLS options of its own
    "listeners": ["127.0.0.1:1"], "hops": { "exit": "https://alice:s3cret@h?ca=ca.pem" },
    "chains": { "out": ["exit"], }, "timeouts": { "idle": "5m" } }`,
  "a.yaml": `listeners: ["127.0.0.1:1"]
hops:
  exit: { protocol: https, address: h, tls: &tls { ca: ca.pem }, username: alice, password: { file: secret } }
chains: { out: [exit] }
timeouts:
  idle: 5m
`,
  "a.YML": `listeners:\r\n- 127.0.0.1:1\r\nhops:\r\n  exit: https://alice:s3cret@h?ca=ca.pem\r\n` +
    `chains: { out: [exit] }\r\ntimeouts: { idle: 5m }\r\n`,
  "a.toml": `timeouts.idle = "5m"
listeners = ["127.0.0.1:1"]
[chains]
out = ["exit"]
[hops.exit]
protocol = "https"
address = "h"
username = "alice"
password.file = "secret"
[hops.exit.tls]
ca = "ca.pem"
`,
  "a.ts": `const idle: string = "5m";
export default { listeners: ["127.0.0.1:1"], hops: { exit: "https://alice:s3cret@h?ca=ca.pem" },
  chains: { out: ["exit"] }, timeouts: { idle } };`,
};

test("a configuration is the same in every format", async () => {
  using directory = temporaryDirectory();
  const ca = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
  directory.write("ca.pem", ca);
  directory.write("secret", "s3cret\n");
  const found = [];
  for (const [name, text] of Object.entries(sameInEveryFormat)) {
    found.push(await loadConfig(directory.write(name, text), noVariables));
  }
  for (const config of found) assertEquals(config, found[0]);
  assertEquals(found[0].hops.exit, {
    name: "exit",
    protocol: "http",
    address: { hostname: "h", port: 443 },
    username: "alice",
    password: "s3cret",
    tls: { ca, pins: [], alpn: [], insecure: false },
  });
});

test("a program is run again when it is loaded again", async () => {
  using directory = temporaryDirectory();
  for (const port of [1, 2, 3]) {
    const path = directory.write(
      "hopline.config.ts",
      `export default { listeners: ["127.0.0.1:${port}"] as string[] };`,
    );
    assertEquals((await loadConfig(path)).listeners[0].address.port, port);
  }
});

test("what is wrong with a program is said without positions", async () => {
  using directory = temporaryDirectory();
  const write = directory.write;
  const wrong = write("a.ts", `export default { listners: [], log: () => {} };`);
  assertEquals(
    await problems(() => loadConfig(wrong)),
    [
      `${wrong}: listners: unknown key \`listners\`; did you mean \`listeners\`?`,
      `${wrong}: log: expected an object, found a function`,
    ].toSorted(),
  );
  const empty = write("b.mjs", "export const config = {};");
  assertEquals(await problems(() => loadConfig(empty)), [
    `${empty}: expected \`export default defineConfig({ … })\``,
  ]);
  const thrown = write("c.ts", `throw new Error("out of order");`);
  assertEquals(await problems(() => loadConfig(thrown)), [`${thrown}: it cannot be run: out of order`]);
});

test("files that cannot be read", async () => {
  using directory = temporaryDirectory();
  const absent = directory.join("absent.json");
  assertEquals(await problems(() => loadConfig(absent)), [
    `${absent}: cannot read ${JSON.stringify(absent)}: there is no such file`,
  ]);
  const other = directory.write("hopline.ini", "");
  const [message] = await problems(() => loadConfig(other));
  assertStringIncludes(message, "expected a file whose name ends in .json, .jsonc, .yaml");
  const binary = directory.write("a.json", new Uint8Array([0xff, 0xfe]));
  assertStringIncludes((await problems(() => loadConfig(binary)))[0], "it is not UTF-8 text");
});

test("files that a configuration names are relative to it, and missed at their place", async () => {
  using directory = temporaryDirectory();
  directory.write("two-lines", "secret\n\n");
  directory.write("windows", "secret\r\n");
  directory.write("empty", "\n");
  const path = directory.write(
    "a.yaml",
    `hops:
  a: { protocol: http, address: h, username: u, password: { file: windows } }
  b: { protocol: socks5, address: h, username: u, password: { file: empty } }
  c: https://h?ca=absent.pem
  d: { protocol: https, address: h, tls: { ca: windows } }
  e: { protocol: socks5, address: h, username: u, password: { file: . } }
`,
  );
  assertEquals(await problems(() => loadConfig(path)), [
    `${path}:3:69: hops.b.password.file: the file "empty" is empty`,
    `${path}:4:6: hops.c: ca: cannot read ${quoted(directory.join("absent.pem"))}: there is no such file`,
    `${path}:5:48: hops.d.tls.ca: expected a certificate in PEM form, the file "windows" holds none`,
    `${path}:6:69: hops.e.password.file: cannot read ${quoted(directory.path)}: it is a directory`,
  ]);
  const { hops } = await validateConfig({
    hops: {
      a: { protocol: "http", address: "h", username: "u", password: { file: "windows" } },
      b: { protocol: "http", address: "h", username: "u", password: { file: directory.join("windows") } },
    },
  }, { directory: directory.path });
  assertEquals([hops.a.password, hops.b.password], ["secret", "secret"]);
  // One line end is the editor's; a second one is the secret's, and no protocol can carry it.
  assertEquals(
    await problems(() =>
      validateConfig({
        hops: { a: { protocol: "http", address: "h", username: "u", password: { file: "two-lines" } } },
      }, { directory: directory.path })
    ),
    ["hops.a.password: expected no control character"],
  );
});

const variables: Record<string, string> = {
  HOST: "relay",
  USER: "al@ice",
  PASS: "p/%:@#?ss",
  EMPTY: "",
  PORT: "99",
};
const environment = (name: string) => Object.hasOwn(variables, name) ? variables[name] : undefined;

test("variables are put into strings", async () => {
  const { hops } = await parseConfig(
    JSON.stringify({
      hops: {
        url: "http://${USER}:${PASS}@${HOST}:${PORT}",
        scheme: "${SCHEME:-https}://u:${PASS}@h",
        whole: "${PROXY:-socks5://a:b@h}",
        object: {
          protocol: "http",
          address: "${HOST}",
          username: "x${EMPTY}y",
          password: "$${USER} $PASS ${PASS}",
        },
        empty: "http://${EMPTY:-h}/",
      },
    }),
    { environment },
  );
  assertEquals([hops.url.username, hops.url.password, hops.url.address], ["al@ice", "p/%:@#?ss", {
    hostname: "relay",
    port: 99,
  }]);
  assertEquals([hops.scheme.password, hops.scheme.address.port], ["p/%:@#?ss", 443]);
  assertEquals([hops.whole.username, hops.whole.protocol], ["a", "socks5"]);
  assertEquals([hops.object.username, hops.object.password], ["xy", "${USER} $PASS p/%:@#?ss"]);
  assertEquals(hops.empty.address.hostname, "h");
});

test("any password in the environment works in a URL", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 }), async (password) => {
      const { hops, listeners } = await parseConfig(
        JSON.stringify({ listeners: ["u:${P}@127.0.0.1:1"], hops: { h: "socks5://u:${P}@h" } }),
        { environment: () => password },
      );
      assertEquals([hops.h.password, listeners[0].users], [password, [{ username: "u", password }]]);
    }),
  );
});

test("variables that are missing or misspelt", async () => {
  const text = '{ "hops": {\n "a": "http://${NOPE}:${NADA}@h:0",\n "b": "http://${1}@h",\n "c": "${HOST" } }';
  assertEquals(await problems(() => parseConfig(text, { path: "a.json", environment })), [
    "a.json:2:7: hops.a: the environment variable NOPE is not set; ${NOPE:-…} would give a default",
    "a.json:2:7: hops.a: the environment variable NADA is not set; ${NADA:-…} would give a default",
    "a.json:3:7: hops.b: expected ${NAME} or ${NAME:-default}; a plain ${ is written $${",
    "a.json:4:7: hops.c: expected ${NAME} or ${NAME:-default}; a plain ${ is written $${",
  ]);
});

test("strings given in code are taken as they are, unless an environment is given", async () => {
  const input: ConfigInput = {
    hops: { a: { protocol: "http", address: "h", username: "u", password: "${PASS}" } },
  };
  assertEquals((await validateConfig(input)).hops.a.password, "${PASS}");
  assertEquals((await validateConfig(input, { environment })).hops.a.password, "p/%:@#?ss");
  assertEquals(input.hops?.a, { protocol: "http", address: "h", username: "u", password: "${PASS}" });
});

test("flags make listeners and a chain", async () => {
  const none = await configFromFlags({ listeners: [], hops: [] }, noVariables);
  assertEquals(none.listeners, [{ address: { hostname: "127.0.0.1", port: 1080 }, open: false }]);
  assertEquals(theChain(none), null);
  const config = await configFromFlags({
    listeners: ["socks5://127.0.0.1:1", ":2?open=true"],
    hops: ["http://${USER}@office", "socks5+tls://exit"],
  }, environment);
  assertEquals(config.listeners.map(({ address }) => address.port), [1, 2]);
  assertEquals(theChain(config)?.name, "cli");
  assertEquals(hopsOf(theChain(config)?.hops).map(({ username, address }) => [username, address.hostname]), [
    ["al@ice", "office"],
    [undefined, "exit"],
  ]);
});

test("flags are added to a file", async () => {
  using directory = temporaryDirectory();
  const file = directory.write(
    "a.toml",
    'listeners = ["127.0.0.1:1"]\n[hops]\noffice = "http://o"\n[chains]\na = ["office"]\nb = ["office"]\n',
  );
  const config = await configFromFlags({
    file,
    listeners: ["127.0.0.1:2"],
    hops: ["office", "socks5://exit"],
  });
  assertEquals(config.listeners.map(({ address }) => address.port), [1, 2]);
  assertEquals(hopsOf(theChain(config)?.hops).map(({ name }) => name), ["office", undefined]);
  const alone = directory.write("b.yaml", "log: { level: debug }\n");
  const defaults = await configFromFlags({ file: alone, listeners: [], hops: [] });
  assertEquals(defaults.listeners[0].address.port, 1080);
});

test("files named in flags are looked for where the program was started", async () => {
  using directory = temporaryDirectory();
  const file = directory.write("a.json", '{ "hops": { "a": "https://h?ca=in-the-file.pem" } }');
  const hops = [
    "https://h?sni=x&ca=in-a-flag.pem&insecure=true",
    `https://h?ca=${directory.path}/absolute.pem`,
  ];
  const found = await problems(() => configFromFlags({ file, listeners: [], hops }, noVariables));
  const missing = (path: string) => `cannot read ${quoted(path)}: there is no such file`;
  assertEquals(found, [
    `-F 1: ca: ${missing(join(process.cwd(), "in-a-flag.pem"))}`,
    `-F 2: ca: ${missing(directory.join("absolute.pem"))}`,
    `${file}:1:18: hops.a: ca: ${missing(directory.join("in-the-file.pem"))}`,
  ]);
});

test("problems with flags are placed at the flags, those with the file in the file", async () => {
  using directory = temporaryDirectory();
  const file = directory.write(
    "a.json",
    '{ "listeners": ["127.0.0.1:1", "nonsense"],\n  "chains": { "cli": ["http://h"] } }',
  );
  const load = (flags: { listeners: string[]; hops: string[]; file?: string }) => () =>
    configFromFlags(flags, noVariables);
  assertEquals(
    await problems(load({ file, listeners: ["127.0.0.1:1", "0.0.0.0:9"], hops: ["exti", "http://h?x=y"] })),
    [
      '-F 1: expected a hop\'s name or URL, found "exti"',
      '-F 2: unknown option "x"; known are `sni`, `ca`, `cert`, `key`, `pin`, `alpn`, `insecure`, `resolve`, `forward`, `timeout`, `proxy-protocol`',
      "-L 1: another listener has the address 127.0.0.1:1",
      "-L 2: 0.0.0.0:9 would be an open proxy: others can reach it and nobody has to log in; " +
      'list `users`, listen on 127.0.0.1, or say open=true (as a key: "open": true)',
      `${file}:1:32: listeners[1]: expected host:port, found no port`,
      `${file}:2:15: chains.cli: the chain \`cli\` is the one that -F makes; give this one another name`,
    ],
  );
  assertEquals(await problems(load({ listeners: ["${NOPE}:1"], hops: ["http://a b"] })), [
    "-F 1: a URL holds no space or control character; percent-encode it (a space is %20)",
    "-L 1: the environment variable NOPE is not set; ${NOPE:-…} would give a default",
  ]);
  const list = directory.write("b.yaml", "- 1\n");
  assertEquals(await problems(load({ file: list, listeners: ["x"], hops: [] })), [
    `${list}:1:1: expected an object, found a list`,
  ]);
});

test("control characters in a configuration do not reach the terminal", async () => {
  const found = await problems(() => parseConfig('{ "\\u001b[31m\\n": 1 }', { path: "a\u001b.json" }));
  assertEquals(found, [
    'a\\x1b.json:1:3: ["\\u001b[31m\\n"]: unknown key `\\u001b[31m\\n`; known are `$schema`, ' +
    "`listeners`, `hops`, `chains`, `routes`, `names`, `access`, `timeouts`, `limits`, `log`, `admin`",
  ]);
});

test("an arbitrary text is a configuration or a ConfigError", async () => {
  const words = fc.constantFrom(
    ..."{ } [ ] : , \n \" ' # = - & * | > ~ null true 5 1e999 0x1f 2020-01-01 listeners hops chains tls users"
      .split(" "),
    '"listeners"',
    '"hops": {',
    "chains:\n  a: ",
    "[[listeners]]\n",
    "${X}",
    "__proto__",
    "<<: ",
    "! ",
    "\n",
    "  ",
  );
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(words, { maxLength: 20 }).map((all) => all.join("")),
  );
  await fc.assert(
    fc.asyncProperty(text, fc.constantFrom("json", "yaml", "toml"), async (text, format) => {
      try {
        await parseConfig(text, { format, environment: noVariables });
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        for (const { line = 0, column = 0 } of error.problems) assert(line >= 1 && column >= 1);
      }
    }),
    { numRuns: 2000 },
  );
});

test("an arbitrary value is a configuration or a ConfigError", async () => {
  const key = fc.constantFrom(
    "listeners",
    "hops",
    "chains",
    "address",
    "protocol",
    "tls",
    "users",
    "a",
    "password",
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom<unknown>(
        "http://h",
        "127.0.0.1:1",
        "a",
        "http",
        1,
        null,
        undefined,
        true,
        new Date(0),
        Symbol(),
      ),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(key, tie("value"), { maxKeys: 4 }),
    ),
  }));
  await fc.assert(
    fc.asyncProperty(value, async (value) => {
      try {
        await validateConfig(value as ConfigInput, { environment: noVariables });
      } catch (error) {
        assert(error instanceof ConfigError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test("the first examples of the documentation mean the same", async () => {
  const text = await readFile(join(root, "docs", "configuration.md"), "utf8");
  using directory = temporaryDirectory();
  directory.write("alice.secret", "s3cret\n");
  const environment = (name: string) => ({ OFFICE_USER: "o", OFFICE_PASSWORD: "@" })[name];
  const examples = ["jsonc", "yaml", "toml"].map((language) =>
    new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "s").exec(text)?.[1] ?? ""
  );
  const [json, yaml, toml] = await Promise.all(examples.map((example, index) => {
    const format = (["json", "yaml", "toml"] as const)[index];
    return parseConfig(example, { format, environment, directory: directory.path });
  }));
  assertEquals(hopsOf(theChain(json)?.hops).map(({ password }) => password), ["@", "s3cret"]);
  assertEquals([yaml, toml], [json, json]);
});

function quoted(path: string): string {
  return JSON.stringify(path.length > 60 ? `${path.slice(0, 59)}…` : path);
}
