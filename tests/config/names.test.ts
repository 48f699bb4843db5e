/**
 * `names` in a configuration: what is read, and what is refused, at its place.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { parseConfig } from "../../src/config/load.ts";
import { ConfigError, formatProblem } from "../../src/config/problems.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const read = async (names: string, directory?: string) =>
  (await parseConfig(`{ "chains": { "out": ["socks5://exit.example"] },\n"names": ${names} }`, { directory }))
    .names!;

async function problems(names: string, directory?: string): Promise<string[]> {
  try {
    await read(names, directory);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem);
  }
}

test("name servers are read from URLs, addresses and objects, with the ports and paths that are usual", async () => {
  const { servers, via } = await read(
    `{ "servers": ["10.0.0.53", "[2001:db8::53]:5353", "2001:db8::53", "tcp://ns.example", "tls://1.1.1.1?sni=one.example",
                   "https://dns.example", "https://dns.example:8443/ask", { "address": "ns.example", "protocol": "https", "path": "/q" }] }`,
  );
  assertEquals(
    servers!.map(({ protocol, address, path }) =>
      `${protocol} ${address.hostname} ${address.port} ${path ?? ""}`
    ),
    [
      "udp 10.0.0.53 53 ",
      "udp 2001:db8::53 5353 ",
      "udp 2001:db8::53 53 ",
      "tcp ns.example 53 ",
      "tls 1.1.1.1 853 ",
      "https dns.example 443 /dns-query",
      "https dns.example 8443 /ask",
      "https ns.example 443 /q",
    ],
  );
  assertEquals([servers![4].tls?.serverName, via], ["one.example", []]);
});

const wrong: [names: string, says: string][] = [
  [`{ "servers": ["dns://x"] }`, "2:24: names.servers[0]: protocol: "],
  [`{ "servers": ["al:s3cret@x"] }`, "2:24: names.servers[0]: a name server is asked without a user name"],
  [`{ "servers": ["tcp://x?sni=y"] }`, "2:24: names.servers[0]: tls: there is no TLS in tcp"],
  [`{ "servers": ["tls://x/path"] }`, "2:24: names.servers[0]: path: only https has a path"],
  [`{ "servers": ["udp://x"], "via": "out" }`, "2:24: names.servers[0]: UDP goes through no chain"],
  [
    `{ "servers": ["tcp://x"], "via": "uot" }`,
    '2:43: names.via: expected "direct" or a chain\'s name, found "uot"; did you mean',
  ],
  [
    `{ "servers": ["tcp://x"], "via": "reject" }`,
    '2:43: names.via: expected "direct" or a chain\'s name, found "reject"',
  ],
  [`{ "via": "out" }`, "2:19: names.via: a way without `servers` leads nowhere"],
  [`{ "hosts": { "a b": "10.0.0.1" } }`, "names.hosts"],
  [`{ "hosts": { "10.0.0.1": "10.0.0.1" } }`, "expected a name, found an address"],
  [`{ "hosts": { "a.test": "b.test" } }`, 'expected an IP address, found "b.test"'],
  [`{ "server": ["x"] }`, "unknown key `server`; did you mean `servers`?"],
];

for (const [names, says] of wrong) {
  test(`${names} is refused`, async () => {
    const [first, ...more] = await problems(names);
    assertEquals([first?.includes(says), more.length, first?.includes("s3cret")], [true, 0, false], first);
  });
}

test("what is wrong with a hosts file is said with its line", async () => {
  using directory = temporaryDirectory();
  directory.write("hosts", "10.0.0.1 fine.test\n# nothing\nnonsense\n");
  const [first] = await problems(`{ "hostsFile": "hosts" }`, directory.path);
  assertEquals(first, "2:25: names.hostsFile: hosts:3: expected an IP address and names");
  const { hosts } = await read(`{ "hostsFile": "hosts" }`, directory.path).catch(() => ({
    hosts: new Map(),
  }));
  assertEquals(hosts.size, 0);
});
