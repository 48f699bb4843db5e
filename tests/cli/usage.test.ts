/**
 * A wrong command line: exit status 2, one line on standard error that says what to do, and no password in it.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { hoplineCommand } from "../support/hopline.ts";

/** What the one line on standard error says. */
async function complaint(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await hoplineCommand(args);
  assertEquals([code, String(stdout)], [2, ""], stderr);
  assertMatch(stderr, /^[^\n]+\n$/);
  return stderr.trimEnd();
}

const wrong: [args: string[], says: RegExp][] = [
  [["chekc", "x.json"], /^hopline: unknown command "chekc"; did you mean check\?; see hopline --help$/],
  [
    ["frobnicate"],
    /^hopline: unknown command "frobnicate"; known are serve, check, explain, trace, connect, schema/,
  ],
  [
    ["--log-levle", "info"],
    /unknown option --log-levle; did you mean --log-level\?; see hopline serve --help/,
  ],
  [["check", "--jsn", "x"], /unknown option --jsn; did you mean --json\?; see hopline check --help/],
  [["-X"], /unknown option -X; known are -c, -L, -F, /],
  [["-L"], /-L needs a value/],
  [["--log-level"], /--log-level needs a value/],
  [["--log-level", "loud"], /--log-level is "loud"; expected error, warn, info, debug/],
  [["--log-format=xml"], /--log-format is "xml"; expected text, json/],
  [["--log-level=info", "--log-level=warn"], /--log-level is given 2 times/],
  [["-Fsocks5://relay.example.net", "-Fftp://x"], /^-F 2: unknown scheme "ftp"/],
  [["-L127.0.0.1:0", "-L=127.0.0.1:0", "-L", "127.0.0.1"], /^-L 3: .*port/],
  [["check"], /check needs FILE; see hopline check --help/],
  [["check", "a.json", "b.json"], /unexpected argument "b\.json"/],
  [["check", "0x10"], /^0x10: expected a file whose name ends in \.json/],
  [["connect"], /connect needs TARGET/],
  [["connect", "example.com"], /TARGET: "example\.com" has no port; expected host:port/],
  [["connect", "example.com:99999"], /"99999" is not a port; expected 1 to 65535/],
  [["schema", "x"], /unexpected argument "x"/],
  [["--workers", "two"], /--workers is "two"; expected a whole number from 1 to 256/],
  [["-F", "ftp://x"], /^-F 1: unknown scheme "ftp"/],
  [["-F", "socks5://x", "-F", "socks6://y"], /^-F 2: unknown scheme "socks6"; did you mean "socks5"\?/],
  [["-L", "127.0.0.1:0", "-L", "127.0.0.1"], /^-L 2: .*port/],
  [["-c", "/nonexistent.json"], /cannot read .*there is no such file/],
  [["-L", "\x1b[2J\n:80"], /./],
];

for (const [args, says] of wrong) {
  test(`hopline ${JSON.stringify(args).slice(1, -1)} is refused`, async () => {
    const line = await complaint(args);
    assertMatch(line, says);
    // deno-lint-ignore no-control-regex -- what must not be there
    assertEquals(/[\x00-\x1f\x7f]/.test(line), false, JSON.stringify(line));
  });
}

test("an open listener off the loopback is refused, with what to do about it", async () => {
  for (const listener of [":0", "0.0.0.0:0", "[::]:0", "socks5://192.0.2.1:1080", "tcp://:0/127.0.0.1:9"]) {
    const line = await complaint(["-L", listener]);
    assertMatch(line, /^-L 1: .*others can reach it and nobody has to log in.*open=true/);
  }
});

const leaky: string[][] = [
  ["socks5://alice:hunter2@relay.example.net"],
  ["alice:hunter2@relay.example.net:1080"],
  ["http://alice:hun@ter2hunter2@relay"],
  ["serve", "socks5://alice:hunter2@relay"],
  ["-Xsocks5://alice:hunter2@relay"],
  ["-Fsocks5://alice:hunter2@relay:x"],
  ["-Phunter2"],
  ["--proxy=socks5://alice:hunter2@relay"],
  ["--proxy", "socks5://alice:hunter2@relay"],
  ["connect", "alice:hunter2@relay:80"],
  ["connect", "relay:80", "socks5://alice:hunter2@relay"],
  ["check", "a.json", "http://alice:hunter2@relay"],
  ["-F", "sock5://alice:hunter2@relay"],
  ["-F", "socks5://alice:hunter2@relay:99999"],
  ["-F", "socks5://alice:hunter2@relay?snii=x"],
  ["-F", "alice:hunter2@relay:1080"],
  ["-F", "http://alice:hunter2"],
  ["-F", "socks5://alice:hunter2/@relay"],
  ["-L", "alice:hunter2@nowhere.invalid"],
  ["-L", "socks4://alice:hunter2@127.0.0.1:0"],
  ["-L", "alice:hunter2%@127.0.0.1:0"],
];

for (const args of leaky) {
  test(`the refusal of ${args.join(" ")} holds no password`, async () => {
    const line = await complaint(args);
    assertEquals(line.includes("hunter2"), false, line);
  });
}
