/** What becomes of the command lines of gost. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { importText } from "../../src/import/import.ts";
import { importing, refusal } from "./importing.ts";

const unverified =
  "-F: gost did not verify the certificate of this hop; Hopline does, so it may be refused now: give it a `ca` or `pins`";

test("a script with quotes, continued lines, variables and comments", async () => {
  const { config, report } = await importing(String.raw`#!/bin/sh
# the relay's way out
exec /usr/local/bin/gost -D -L "alice:s3%40cret@:1080" \
  -L='socks5://127.0.0.1:1081?udp=true' \
  -F "http://$OFFICE_USER:${"${OFFICE_PASSWORD}"}@proxy.corp.example:8080" \
  -F 'socks5+tls://bob:pa${"${x}"}ss@relay.example.net:443?secure=true&timeout=5s' # the last
`);
  assertEquals(config, {
    listeners: [
      { address: ":1080", users: [{ username: "alice", password: "s3@cret" }] },
      { address: "127.0.0.1:1081", protocols: ["socks5"] },
    ],
    hops: {
      hop1: {
        protocol: "http",
        address: "proxy.corp.example:8080",
        username: "${OFFICE_USER}",
        password: "${OFFICE_PASSWORD}",
      },
      hop2: {
        protocol: "socks5+tls",
        address: "relay.example.net:443",
        username: "bob",
        password: "pa$${x}ss",
        timeout: "5s",
      },
    },
    chains: { out: ["hop1", "hop2"] },
  });
  assertEquals(report, ["f:3: `-D` is left out", "f:4: -L: the option `udp` is left out"]);
});

test("an unverified certificate is never kept silently", async () => {
  const { config, report } = await importing(
    "gost -L 127.0.0.1:1 -F https://a.example -F http2://b.example:443 " +
      "-F socks5+tls://c.example:443?secure=false -F tls://d.example:443?secure=true",
  );
  assertEquals(config, {
    listeners: [{ address: "127.0.0.1:1" }],
    hops: {
      hop1: { protocol: "http+tls", address: "a.example" },
      hop2: { protocol: "h2", address: "b.example:443" },
      hop3: { protocol: "socks5+tls", address: "c.example:443", tls: { insecure: true } },
      hop4: { protocol: "http+tls", address: "d.example:443" },
    },
    chains: { out: ["hop1", "hop2", "hop3", "hop4"] },
  });
  assertEquals(report, [
    `f:1: ${unverified}`,
    `f:1: ${unverified}`,
    "f:1: -F: secure=false: the certificate of this hop is not verified",
  ]);
  const { text } = await importText("gost -F https://a.example", { file: "f", read: never });
  assertStringIncludes(text, '// gost did not verify this certificate; Hopline does\n    "hop1"');
});

test("credentials in base64, names for TLS, the PROXY protocol and the ways of SOCKS", async () => {
  const { config, report } = await importing(
    "gost -F 'socks5://h1:1?auth=YTpiOmM=&proxyProtocol=2' " +
      "-F 'https://h2?secure=true&serverName=x.example' -F socks4://h3 -F socks4a://h4 -F socks://h5 -F h6:80",
  );
  assertEquals(config, {
    hops: {
      hop1: { protocol: "socks5", address: "h1:1", username: "a", password: "b:c", proxyProtocol: 2 },
      hop2: { protocol: "http+tls", address: "h2", tls: { serverName: "x.example" } },
      hop3: { protocol: "socks4", address: "h3" },
      hop4: { protocol: "socks4a", address: "h4" },
      hop5: { protocol: "socks5", address: "h5" },
      hop6: { protocol: "http", address: "h6:80" },
    },
    chains: { out: ["hop1", "hop2", "hop3", "hop4", "hop5", "hop6"] },
  });
  assertEquals(report, []);
});

test("port forwards and TLS by name are listeners; an open one moves to the loopback", async () => {
  const { config, report } = await importing(
    "gost -L tcp://:2222/10.0.0.5:22 -L sni://127.0.0.1:443 -L http://127.0.0.1:3/a:1,b:2",
  );
  assertEquals(config, {
    listeners: [
      { address: "127.0.0.1:2222", target: "10.0.0.5:22" },
      { address: "127.0.0.1:443", sni: true },
      { address: "127.0.0.1:3", target: "a:1" },
    ],
  });
  assertEquals(report, [
    "f:1: the listener on :2222 lets everybody in who reaches it; it is on 127.0.0.1:2222 now, until you list `users` " +
    'or say "open": true',
    "f:1: -L: of 2 targets, only the first is carried over",
  ]);
});

test("listeners that Hopline can't be are left out, and said so", async () => {
  const { config, report } = await importing(
    "gost -L redirect://:1 -L https://:2 -L kcp://:3 -L tcp://:4 -L http://user@:5 -L socks4://a:b@:6 -L auto://:0 \\\n" +
      "  -L rtcp://:7/a:1 -L 127.0.0.1:8 -L ws://",
  );
  assertEquals(config, { listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:8" }] });
  assertEquals(report, [
    "f:1: -L redirect:// is left out: Hopline does not serve it",
    "f:1: -L https:// is left out: it names no `cert` and `key`; gost makes up a certificate, Hopline wants a real one",
    "f:1: -L kcp:// is left out: Hopline does not serve it",
    "f:1: -L tcp:// is left out: it is a port forward without a target, :port/host:port",
    "f:1: -L http:// is left out: its user has no password, and nobody could log in",
    "f:1: -L socks4:// is left out: SOCKS4 has no passwords",
    "f:1: the listener on :0 lets everybody in who reaches it; it is on 127.0.0.1:0 now, until you list `users` or " +
    'say "open": true',
    "f:2: -L rtcp:// is left out: Hopline does not serve it",
    "f:2: -L ws:// is left out: Hopline does not serve it",
  ]);
});

test("several command lines in a file are told apart by their listeners", async () => {
  const { config, report } = await importing(
    "gost -L 127.0.0.1:1 -F http://a &\ngost -L 127.0.0.1:2 -F http://b &\ngost -L 127.0.0.1:3\n",
  );
  assertEquals(config, {
    listeners: [{ address: "127.0.0.1:1" }, { address: "127.0.0.1:2" }, { address: "127.0.0.1:3" }],
    hops: { hop1: { protocol: "http", address: "a" }, hop2: { protocol: "http", address: "b" } },
    chains: { out: ["hop1"], out2: ["hop2"] },
    routes: [
      { listeners: ["127.0.0.1:1"], via: "out" },
      { listeners: ["127.0.0.1:2"], via: "out2" },
      { listeners: ["127.0.0.1:3"], via: "direct" },
    ],
  });
  assertEquals(report, []);
});

test("several addresses of a hop are a choice", async () => {
  const { config, report } = await importing(
    "gost -L 127.0.0.1:1 -F 'http://a:b@h1:1,h2:2' -F 'socks5://h3:3?ip=192.0.2.1,192.0.2.2:9&strategy=fifo&max_fails=1' " +
      "-F 'https://h4:4?ip=192.0.2.3,192.0.2.4&secure=true&strategy=rand' -F 'http://h5:5,h6:6?strategy=hash'",
  );
  const hop = (protocol: string, address: string, more = {}) => ({ protocol, address, ...more });
  const [login, tls] = [{ username: "a", password: "b" }, { tls: { serverName: "h4" } }];
  assertEquals(config, {
    listeners: [{ address: "127.0.0.1:1" }],
    hops: {
      hop1: hop("http", "h1:1", login),
      hop2: hop("http", "h2:2", login),
      hop3: hop("socks5", "192.0.2.1:3"),
      hop4: hop("socks5", "192.0.2.2:9"),
      hop5: hop("http+tls", "192.0.2.3:4", tls),
      hop6: hop("http+tls", "192.0.2.4:4", tls),
      hop7: hop("http", "h5:5"),
      hop8: hop("http", "h6:6"),
    },
    chains: {
      out: [
        { roundRobin: ["hop1", "hop2"] },
        { failover: ["hop3", "hop4"] },
        { random: ["hop5", "hop6"] },
        { roundRobin: ["hop7", "hop8"] },
      ],
    },
  });
  assertEquals(report, ["f:1: -F: the strategy `hash` is not known here; the hops take turns instead"]);
});

const refused: [what: string, text: string, problems: string[]][] = [
  ["a hop of another kind", "gost -L :1 -F kcp://a:b@h:1", [
    "f:1: -F kcp:// cannot be carried over, and a chain without it would lead elsewhere",
  ]],
  ["a hop in another transport", "gost \\\n -F socks5+ws://a:b@h:1", [
    "f:2: -F socks5+ws:// cannot be carried over, and a chain without it would lead elsewhere",
  ]],
  ["a port that is none", "gost -F http://alice:hunter2@h:hunter3", [
    "f:1: hops.hop1.address: expected a port from 1 to 65535, found something else behind the host",
  ]],
  ["a listener's port that is none", "gost \\\n -L :99999", [
    'f:2: a listener: "99999" is not a port; expected 0 to 65535',
  ]],
  ["a quote that is not closed", "gost \\\n  -F 'http://alice:hunter2@h", ["f:2: a quote (') is not closed"]],
  ["an option without a value", "gost -L", ["f:1: -L has no value"]],
  ["no host", "gost -F http://", ["f:1: -F has no host"]],
  ["base64 that is none", "gost -F http://h?auth=%25%25", ["f:1: `auth` is not user:password in base64"]],
  ["percent-encoding that is none", "gost -F http://a:%zz@h", [
    "f:1: a URL has a % that begins no UTF-8 percent-encoding",
  ]],
];

for (const [what, text, problems] of refused) {
  test(`refused: ${what}`, async () => assertEquals(await refusal(text), problems));
}

test("what is no command line of gost is refused", async () => {
  assertEquals(await refusal("ls -la", "gost"), ["f: expected a command line with gost -L … or -F …"]);
});

function never(): Promise<string> {
  throw new Error("nothing is included");
}
