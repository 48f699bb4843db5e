/**
 * `hopline import`: a configuration on standard output that `check` accepts and `serve` runs, and a report on
 * standard error without a secret.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, test } from "node:test";
import { fetchThrough } from "../support/fetch.ts";
import { hopline, hoplineCommand } from "../support/hopline.ts";
import { webOrigin } from "../support/origins.ts";
import { microsocks } from "../support/peers.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const directory = temporaryDirectory();
after(() => directory[Symbol.dispose]());

const run = async (args: string[], env?: Record<string, string>) => {
  const { code, stdout, stderr } = await hoplineCommand(args, { cwd: directory.path, env });
  return { code, stdout: String(stdout), stderr };
};

const sources: [name: string, text: string, report: RegExp][] = [
  [
    "gost.sh",
    "gost -L 127.0.0.1:0 \\\n -F https://alice:hunter2@relay.example.net",
    /^gost\.sh:2: -F: gost did not verify .*\n$/,
  ],
  [
    "proxychains.conf",
    "proxy_dns\ntcp_read_time_out 9\n[ProxyList]\nhttp relay 1 alice hunter2\n",
    /^proxychains\.conf:2: .*\n$/,
  ],
  [
    "glider.conf",
    "listen=127.0.0.1:0\ndns=:53\nforward=socks5://alice:hunter2@relay.example.net:1\n",
    /^glider\.conf:2: .*\n$/,
  ],
  [
    "sing-box.json",
    '{ "log": {},\n "outbounds": [{ "type": "socks", "tag": "a", "server": "relay", "server_port": 1,\n' +
    ' "username": "alice", "password": "hunter2" }] }',
    /^sing-box\.json:1: `log` is left out\n$/,
  ],
];

for (const [name, text, report] of sources) {
  test(`${name} becomes a configuration that check accepts`, async () => {
    directory.write(name, text);
    const { code, stdout, stderr } = await run(["import", name]);
    assertEquals(code, 0);
    assertMatch(stderr, report);
    assertStringIncludes(stdout, "hunter2");
    assertEquals(stderr.includes("hunter2"), false);
    directory.write("out.jsonc", stdout);
    const checked = await run(["check", "out.jsonc"]);
    assertEquals([checked.code, checked.stderr], [0, ""]);
  });
}

test("the environment, too; its secrets stay off standard error", async () => {
  const env = { https_proxy: "http://alice:hunter2@proxy:3128", NO_PROXY: "localhost" };
  const { code, stdout, stderr } = await run(["import", "--env"], env);
  assertEquals([code, stderr.includes("hunter2")], [0, false]);
  directory.write("env.jsonc", stdout);
  assertEquals((await run(["check", "env.jsonc"])).code, 0);
});

test("what was imported serves as the other program would have", async () => {
  await using origin = await webOrigin();
  await using peer = await microsocks({ username: "alice", password: "hunter2" });
  const [host, port] = peer.address.split(":");
  const sources = {
    "one.conf": `proxy_dns\n[ProxyList]\nsocks5 ${host} ${port} alice hunter2\n`,
    "one.sh": `gost -L 127.0.0.1:0 -F socks5://alice:hunter2@${peer.address}`,
    "glider.cfg": `listen=127.0.0.1:0\nforward=socks5://alice:hunter2@${peer.address}\n`,
  };
  for (const [name, text] of Object.entries(sources)) {
    directory.write(name, text);
    const { stdout } = await run(["import", name]);
    const path = directory.write(`${name}.jsonc`, stdout.replace("127.0.0.1:1080", "127.0.0.1:0"));
    await using house = await hopline(["-c", path]);
    const trail = house.trail();
    const fetched = await fetchThrough("socks5", house.address, origin.url);
    assertEquals(fetched.code, 0, fetched.stderr);
    assertEquals((await trail.find("tunnel.closed")).via, ["hop1"]);
  }
});

test("wrong uses and files that can't be understood are exit status 2", async () => {
  directory.write("nothing.txt", "nothing to see\n");
  const rows: [args: string[], says: string][] = [
    [[], "hopline: import needs FILE or --env; see hopline import --help\n"],
    [["a", "b"], 'hopline: unexpected argument "b"; see hopline import --help\n'],
    [["a", "--env"], "hopline: --env takes the environment instead of FILE; leave the rest out\n"],
    [["a", "--from", "tor"], 'hopline: --from is "tor"; expected gost, proxychains, glider or sing-box\n'],
    [["missing"], `missing: cannot read "${directory.join("missing")}": there is no such file\n`],
    [
      ["nothing.txt"],
      "nothing.txt: this is nothing that can be imported; if it is, say --from gost, proxychains, glider or sing-box\n",
    ],
    [["nothing.txt", "--from", "gost"], "nothing.txt: expected a command line with gost -L … or -F …\n"],
    [["--env"], "environment: none of ALL_PROXY, HTTPS_PROXY and HTTP_PROXY is set\n"],
  ];
  for (const [args, says] of rows) {
    assertEquals(await run(["import", ...args]), { code: 2, stdout: "", stderr: says });
  }
});
