/**
 * Targets in files: a line each, hosts files, and what is wrong at its line.
 *
 * @module
 */
import { assertEquals, assertThrows } from "@std/assert";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load.ts";
import { ConfigError, formatProblem, ValueError } from "../../src/config/problems.ts";
import { parseRuleList } from "../../src/config/rule_list.ts";
import { parsePattern } from "../../src/routing/pattern.ts";
import { temporaryDirectory } from "../support/temporary.ts";

test("a list has a target on each line", () => {
  const text =
    "# all of these\r\nexample.com\n\n  *.example.org:443  # with a port\n10.0.0.0/8\n[::1]:22\n*:25\n0.0.0.0\n";
  const targets = ["example.com", "*.example.org:443", "10.0.0.0/8", "[::1]:22", "*:25", "0.0.0.0"];
  assertEquals(parseRuleList(text, "f"), targets.map(parsePattern));
});

test("a hosts file lists the names that it sends nowhere", () => {
  const text = `127.0.0.1 localhost localhost.localdomain local
255.255.255.255 broadcasthost
::1 ip6-localhost ip6.example
fe80::1%lo0 localhost
192.0.2.1 real.example
0.0.0.0 0.0.0.0
0.0.0.0 ads.example\ttrack.example # both
127.0.0.1 more.example`;
  const names = ["ip6.example", "ads.example", "track.example", "more.example"];
  assertEquals(parseRuleList(text, "f"), names.map(parsePattern));
});

test("every wrong line is named, up to ten of them", () => {
  assertThrows(
    () => parseRuleList("good.example\na b\n\n10.0.0.0/40\n", "f.txt"),
    ValueError,
    'f.txt:2: "a b" is not a host name; f.txt:4: "10.0.0.0/40" is no block of addresses such as 10.0.0.0/8',
  );
  const error = assertThrows(() => parseRuleList("*x\n".repeat(1000), "f"), ValueError);
  assertEquals(error.message.split("; ").length, 11);
  assertEquals(error.message.endsWith("f: and more"), true);
  assertThrows(() => parseRuleList("# nothing\n", "f"), ValueError, 'the file "f" lists nothing');
});

test("a route has targets of its own and of files beside the configuration", async () => {
  using directory = temporaryDirectory();
  directory.write("blocked.txt", "0.0.0.0 ads.example\n");
  const file = directory.write(
    "hopline.yaml",
    "routes:\n  - to: [example.com, { file: blocked.txt }, '*:25']\n    via: reject\n  - via: direct\n",
  );
  const { routes } = await loadConfig(file);
  assertEquals(routes![0].to, ["example.com", "ads.example", "*:25"].map(parsePattern));
  directory.write("blocked.txt", "ads.example\n*x\n");
  const error = await loadConfig(file).then(() => assertEquals("loaded", "refused"), (error) => error);
  assertEquals(error instanceof ConfigError && error.problems.map(formatProblem), [
    `${file}:2:31: routes[0].to[1].file: blocked.txt:2: expected a name, *.name, an address, ` +
    'a block such as 10.0.0.0/8 or *, with :port or without, found "*x"',
  ]);
});
