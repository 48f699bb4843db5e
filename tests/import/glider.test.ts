/** What becomes of glider.conf and its rule files. */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { importing, refusal } from "./importing.ts";

const opened = (port: number, line: number) =>
  `f:${line}: the listener on :${port} lets everybody in who reaches it; it is on 127.0.0.1:${port} now, until you ` +
  'list `users` or say "open": true';

test("listeners of every kind", async () => {
  const { config, report } = await importing(`# glider.conf
verbose=True
listen=:8443
listen=socks5://alice:p%40ss@:1080
listen=http://127.0.0.1:8080
listen=mixed://[::1]:8081
listen=tcp://127.0.0.1:1082=1.1.1.1:80
listen=ss://AEAD_AES_128_GCM:pass@:8448
listen=tls://:443,http://
listen=tls://:443?cert=a.pem&key=a.key
listen=tls://:443,ws://,http://
listen=redir://:1081
dns=:53
dnsserver=8.8.8.8:53
`);
  assertEquals(config, {
    listeners: [
      { address: "127.0.0.1:8443", protocols: ["socks5", "http"] },
      { address: ":1080", protocols: ["socks5"], users: [{ username: "alice", password: "p@ss" }] },
      { address: "127.0.0.1:8080", protocols: ["http"] },
      { address: "[::1]:8081", protocols: ["socks5", "http"] },
      { address: "127.0.0.1:1082", target: "1.1.1.1:80" },
    ],
  });
  assertEquals(report, [
    opened(8443, 3),
    "f:8: `listen` is left out: Hopline does not serve ss://",
    "f:9: `listen` is left out: it names no `cert` and `key`",
    "f:10: `listen` is left out: expected what is spoken inside TLS, as in tls://:443,http://",
    "f:11: `listen` is left out: Hopline does not serve tls://,ws://,http://",
    "f:12: `listen` is left out: Hopline does not serve redir://",
    "f:13: `dns` is left out",
    "f:14: `dnsserver` is left out",
  ]);
});

test("a forwarder with commas is a chain, and tls:// goes around what follows", async () => {
  const { config, report } = await importing(
    "listen=127.0.0.1:1\n" +
      "forward=http://1.1.1.1:8080,tls://2.2.2.2:443?serverName=x.example&skipVerify=true,socks5://me:pw@,socks4a://3.3.3.3:1#priority=3&interface=eth0\n",
  );
  assertEquals(config, {
    listeners: [{ address: "127.0.0.1:1", protocols: ["socks5", "http"] }],
    hops: {
      hop1: { protocol: "http", address: "1.1.1.1:8080" },
      hop2: {
        protocol: "socks5+tls",
        address: "2.2.2.2:443",
        username: "me",
        password: "pw",
        tls: { serverName: "x.example", insecure: true },
      },
      hop3: { protocol: "socks4a", address: "3.3.3.3:1" },
    },
    chains: { out: ["hop1", "hop2", "hop3"] },
  });
  assertEquals(report, [
    "f:2: `forward`: the option `interface` is left out",
    "f:2: `forward`: skipVerify=true: the certificate of this hop is not verified",
  ]);
});

test("rule files are routes, in front of everything else", async () => {
  const { config, report } = await importing(
    "listen=127.0.0.1:1\nforward=socks5://1.1.1.1:1\nrulefile=office.rule\nrulefile=block.rule\n",
    {
      files: {
        "office.rule":
          "forward=http://2.2.2.2:2\nipset=glider\ninclude=office.list\ndomain=corp.example\ncidr=10.0.0.0/8\n",
        "office.list": "ip=192.0.2.1\ndomain=x.example\n",
        "block.rule": "forward=reject://\ndomain=ads.example\n",
      },
    },
  );
  assertEquals(config, {
    listeners: [{ address: "127.0.0.1:1", protocols: ["socks5", "http"] }],
    hops: {
      hop1: { protocol: "http", address: "2.2.2.2:2" },
      hop2: { protocol: "socks5", address: "1.1.1.1:1" },
    },
    chains: { out: ["hop1"], out2: ["hop2"] },
    routes: [
      {
        to: ["192.0.2.1", "x.example", "*.x.example", "corp.example", "*.corp.example", "10.0.0.0/8"],
        via: "out",
      },
      { to: ["ads.example", "*.ads.example"], via: "reject" },
      { via: "out2" },
    ],
  });
  assertEquals(report, ["office.rule:2: `ipset` is left out"]);
});

test("without a forwarder that can be carried over, nothing goes directly instead", async () => {
  const { config, report } = await importing("listen=127.0.0.1:1\nforward=vmess://a:hunter2@h:1\n");
  assertEquals((config as { routes: unknown }).routes, [{ via: "reject" }]);
  assertEquals(report, ["f:2: `forward`: vmess:// cannot be carried over; this forwarder is left out"]);
});

test("several forwarders are a choice by their strategy, with the check", async () => {
  const forwards =
    "forward=http://a:1#priority=1\nforward=http://b:2,socks5://c:3#priority=9\nforward=vmess://x@d:4\n";
  const strategies: [name: string, kind: string, report: string[]][] = [
    ["rr", "roundRobin", ["f:6: priorities are heeded by the strategy `ha` alone"]],
    ["ha", "failover", []],
    ["lha", "fastest", ["f:6: priorities are heeded by the strategy `ha` alone"]],
    ["dh", "roundRobin", [
      "f:6: the strategy `dh` is not known here; the forwarders take turns",
      "f:6: priorities are heeded by the strategy `ha` alone",
    ]],
  ];
  for (const [strategy, kind, notes] of strategies) {
    const { config, report } = await importing(
      `listen=127.0.0.1:1\n${forwards}check=http://www.example.com/x#expect=200\nstrategy=${strategy}\ncheckinterval=60\n`,
    );
    const { chains, routes } = config as { chains: unknown; routes: unknown };
    assertEquals(chains, { out: ["hop1"], out2: ["hop2", "hop3"] });
    assertEquals(routes, [
      { via: { [kind]: ["out2", "out"], check: { target: "www.example.com:80", every: "60s" } } },
    ]);
    assertEquals(report, [
      "f:4: `forward`: vmess:// cannot be carried over; this forwarder is left out",
      ...notes,
    ]);
  }
});

test("what is no glider.conf is refused", async () => {
  assertEquals(await refusal("listen=nonsense\n"), ["f:1: a listener: expected host:port, found no port"]);
  assertEquals(await refusal("listen=:1\nnonsense\n"), ["f:2: expected KEY=VALUE"]);
  assertEquals(await refusal("listen=127.0.0.1:1\nrulefile=x.rule\n"), ["f:2: no x.rule"]);
});
