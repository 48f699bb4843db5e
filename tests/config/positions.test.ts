/** Every problem at once, each at its line and column, in all three formats. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { parseConfig } from "../../src/config/load.ts";
import { ConfigError, formatProblem } from "../../src/config/problems.ts";
import type { Format } from "../../src/config/source.ts";

/** The problems of a text, each as the line that a person sees. */
async function problems(text: string, format: Format): Promise<string[]> {
  const environment = (name: string) => name === "SET" ? "value" : undefined;
  try {
    await parseConfig(text, { path: "f", format, directory: "/nowhere", environment });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem);
  }
}

const texts: [name: string, format: Format, text: string, expected: string[]][] = [
  ["an empty object", "json", "{}", []],
  ["an empty file", "yaml", "", []],
  ["only a comment", "yaml", "# nothing yet\n", []],
  ["an empty file", "toml", "", []],
  ["an empty file", "json", "", ["f:1:1: this is not JSON: value expected"]],
  ["comments and trailing commas", "json", '{ // here\n "hops": {}, /* there */ }', []],
  ["a missing comma", "json", '{\n  "hops": {}\n  "chains": {}\n}', [
    "f:3:3: this is not JSON: comma expected",
  ]],
  ["an open string", "yaml", 'log:\n  level: "hunter2', ['f:2:18: this is not YAML: missing closing "quote']],
  ["a tab", "yaml", "log:\n\tlevel: info", ["f:2:1: this is not YAML: tabs are not allowed as indentation"]],
  ["two documents", "yaml", "--- {}\n--- {}", [
    "f:2:1: this is not YAML: source contains multiple documents",
  ]],
  ["a missing value", "toml", "[log]\nlevel =\n", [
    "f:2:8: this is not TOML: value expected",
  ]],
  ["a list at the top", "json", "[]", ["f:1:1: expected an object, found a list"]],
  ["a number at the top", "yaml", "5", ["f:1:1: expected an object, found a number"]],
  ["a key twice, and more", "json", '{"log": {"level": "info",\n "level": "inf"}}', [
    "f:2:2: log.level: this key stands twice",
    'f:2:11: log.level: expected one of "error", "warn", "info" or "debug", found "inf"; did you mean "info"?',
  ]],
  ["a key twice, and more", "yaml", "log:\n  level: info\n  level: inf\n", [
    "f:3:3: this key stands twice",
    'f:3:10: log.level: expected one of "error", "warn", "info" or "debug", found "inf"; did you mean "info"?',
  ]],
  ["a key twice", "toml", '[log]\nlevel = "info"\nlevel = "info"\n', [
    "f:3:1: this is not TOML: defining a key multiple times is invalid",
  ]],
  ["a prototype", "json", '{\n "__proto__": {"listeners": 5}}', [
    "f:2:2: __proto__: `__proto__` cannot be a key",
  ]],
  ["a prototype", "toml", '[hops.__proto__]\nprotocol = "http"\n', [
    "f:1:7: hops.__proto__: `__proto__` cannot be a key",
  ]],
  ["a prototype", "yaml", "hops:\n  __proto__: {}\n", ["f:2:3: hops.__proto__: `__proto__` cannot be a key"]],
  ["aliases without measure", "yaml", bomb(), [
    "f:1:1: the aliases multiply beyond measure",
  ]],
  [
    "aliases of nothing",
    "yaml",
    "hops: &a {}\nchains:\n  out: [*.corp.example, *a]\nlisteners:\n  - password: *hunter2\n",
    [
      'f:3:9: the alias "*.corp.example" has no anchor (&) before it; text that begins with a * needs quotes',
      "f:5:15: this alias has no anchor (&) before it; text that begins with a * needs quotes",
    ],
  ],
  ["an alias within itself", "yaml", "hops: &a\n  x: *a\n", [
    "f:2:6: hops.x: the value contains itself, or is nested too deeply",
  ]],
  ["a text without end", "json", "[".repeat(200_000), ["f:1:1: this is nested too deeply"]],
  ["problems of every kind", "json", wrongJson(), [
    "f:2:3: listners: unknown key `listners`; did you mean `listeners`?",
    "f:4:5: listeners[0]: expected a port from 0 to 65535, found something else behind the host",
    "f:5:35: listeners[1].open: expected true or false, found a string",
    "f:6:5: listeners[2]: expected a string or an object, found a number",
    "f:9:16: hops.office: the environment variable UNSET is not set; ${UNSET:-…} would give a default",
    "f:10:15: hops.exit.address: is missing; expected a string",
    "f:10:39: hops.exit.adress: unknown key `adress`; did you mean `address`?",
    "f:11:5: hops.direct: the name `direct` is reserved",
    'f:13:31: chains.out[1]: expected a hop\'s name or URL, found "exti"; did you mean `exit`?',
    'f:14:28: timeouts.connect: expected a duration such as "250ms", "10s", "5m" or "1h", found "10 s"',
    'f:14:44: timeouts.idle: expected a duration such as "10s", found a number',
  ]],
  ["problems of every kind", "yaml", wrongYaml(), [
    "f:1:1: listners: unknown key `listners`; did you mean `listeners`?",
    "f:3:5: listeners[0]: expected a port from 0 to 65535, found something else behind the host",
    "f:5:11: listeners[1].open: expected true or false, found a string",
    "f:7:11: hops.office: the environment variable UNSET is not set; ${UNSET:-…} would give a default",
    "f:9:5: hops.exit.address: is missing; expected a string",
    "f:10:5: hops.exit.adress: unknown key `adress`; did you mean `address`?",
    'f:12:17: chains.out[1]: expected a hop\'s name or URL, found "exti"; did you mean `exit`?',
    'f:14:9: timeouts.idle: expected a duration such as "10s", found a number',
    "f:15:5: log: expected an object, found null",
  ]],
  [
    "problems of every kind",
    "toml",
    wrongToml(),
    [
      "f:1:1: listners: unknown key `listners`; did you mean `listeners`?",
      'f:2:17: timeouts.idle: expected a duration such as "10s", found a number',
      'f:3:18: chains.out[0]: expected a hop\'s name or URL, found "exti"; did you mean `exit`?',
      "f:7:3: listeners[1].address: is missing; expected a string",
      "f:8:8: listeners[1].open: expected true or false, found a string",
      "f:10:7: hops.exit.address: is missing; expected a string",
      "f:12:1: hops.exit.adress: unknown key `adress`; did you mean `address`?",
      "f:13:21: hops.exit.tls.insecure: expected true or false, found a date",
      "f:15:19: hops.office: the environment variable UNSET is not set; ${UNSET:-…} would give a default",
    ],
  ],
];

for (const [name, format, text, expected] of texts) {
  test(`${format}: ${name}`, async () => assertEquals(await problems(text, format), expected));
}

function wrongJson(): string {
  return `{
  "listners": [],
  "listeners": [
    "127.0.0.1:http",
    { "address": ":1080", "open": "yes" },
    7
  ],
  "hops": {
    "office": \t"http://\${UNSET}:\${SET}@h:0",
    "exit":   { "protocol": "socks5", "adress": "h" },
    "direct": "socks5://h",
  },
  "chains": { "out": ["exit", "exti"] },
  "timeouts": { "connect": "10 s", "idle": 3600 }
}`;
}

function wrongYaml(): string {
  return `listners: []
listeners:
  - 127.0.0.1:http
  - address: :1080
    open: "yes"
hops:
  office: http://\${UNSET}:\${SET}@h:0
  exit:
    protocol: socks5
    adress: h
chains:
  out: [ exit,  exti ]
timeouts:
  idle: 3600
log:
`;
}

function wrongToml(): string {
  return `listners = []
timeouts.idle = 3600
chains = {out = ["exti"]}
[[listeners]]
address = "127.0.0.1:1080"

[[listeners]]
open = "yes"

[hops.exit]
protocol = "socks5"
adress = "h"
tls = { insecure =  2020-01-01 }
[hops]
office =          "http://\${UNSET}:\${SET}@h:0"
`;
}

function bomb(): string {
  const levels = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(12).fill(`*a${i}`)}]`);
  return `a0: &a0 [x]\n${levels.join("\n")}\n`;
}
