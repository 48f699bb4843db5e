/** What becomes of proxychains.conf. */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { importing, refusal } from "./importing.ts";

const listeners = [{ address: "127.0.0.1:1080" }];

test("a strict chain, with names left to the proxies", async () => {
  const { config, report } = await importing(`# proxychains.conf
strict_chain
proxy_dns
remote_dns_subnet 224
tcp_read_time_out 15000
tcp_connect_time_out 8000
[ProxyList]
# type host port user password
http   10.0.0.1	3128 justu hid#den
socks5 10.0.0.2 1080 lamer secret
socks5 2001:db8::1 1080
socks4 10.0.0.3 1080
`);
  assertEquals(config, {
    listeners,
    hops: {
      hop1: { protocol: "http", address: "10.0.0.1:3128", username: "justu", password: "hid#den" },
      hop2: { protocol: "socks5", address: "10.0.0.2:1080", username: "lamer", password: "secret" },
      hop3: { protocol: "socks5", address: "[2001:db8::1]:1080" },
      hop4: { protocol: "socks4a", address: "10.0.0.3:1080" },
    },
    chains: { out: ["hop1", "hop2", "hop3", "hop4"] },
    timeouts: { connect: "8000ms" },
  });
  assertEquals(report, ["f:5: `tcp_read_time_out` is left out"]);
});

test("without proxy_dns, names are looked up here, as they were", async () => {
  const { config } = await importing("[ProxyList]\nsocks5 10.0.0.1 1\nhttp 10.0.0.2 2\n");
  assertEquals(config, {
    listeners,
    hops: {
      hop1: { protocol: "socks5", address: "10.0.0.1:1" },
      hop2: { protocol: "http", address: "10.0.0.2:2", resolve: "local" },
    },
    chains: { out: ["hop1", "hop2"] },
  });
  const socks4 = await importing("[ProxyList]\nsocks4 10.0.0.1 1\n");
  assertEquals(socks4.config, {
    listeners,
    hops: { hop1: { protocol: "socks4", address: "10.0.0.1:1" } },
    chains: { out: ["hop1"] },
  });
});

test("localnet goes directly", async () => {
  const { config, report } = await importing(`proxy_dns
localnet 127.0.0.0/255.0.0.0
localnet 192.168.1.0:80/255.255.255.0
localnet 0.0.0.0:443/0.0.0.0
localnet [fc00::]/7
localnet [fc00::]:22/7
localnet 10.0.0.0/255.0.255.0
dnat 1.1.1.1 1.1.1.2
[ProxyList]
socks5 10.0.0.1 1
`);
  assertEquals((config as { routes: unknown }).routes, [
    {
      to: ["127.0.0.0/8", "192.168.1.0/24:80", "0.0.0.0/0:443", "fc00::/7", "[fc00::/7]:22"],
      via: "direct",
    },
    { via: "out" },
  ]);
  assertEquals(report, [
    "f:7: `localnet` is left out; expected a network and its mask, as 10.0.0.0/255.0.0.0",
    "f:8: `dnat` is left out",
  ]);
});

test("a dynamic chain tries what is left of it, the longest first", async () => {
  const list = (...names: string[]) => names.map((name, n) => `http ${name} ${n + 1}\n`).join("");
  const dynamic = (proxies: string) => importing(`dynamic_chain\nproxy_dns\n[ProxyList]\n${proxies}`);
  const { config, report } = await dynamic(list("a", "b", "c"));
  const [one, two, three] = ["hop1", "hop2", "hop3"];
  assertEquals((config as { chains: unknown }).chains, {
    out: [{ failover: [[one, two, three], [one, two], [one, three], [two, three], [one], [two], [three]] }],
  });
  assertEquals(report, []);
  const alone = await dynamic(list("a"));
  assertEquals((alone.config as { chains: unknown }).chains, { out: [one] });
  const many = await dynamic(list("a", "b", "c", "d"));
  assertEquals((many.config as { chains: unknown }).chains, { out: [one, two, three, "hop4"] });
  assertEquals(many.report, [
    "f:1: `dynamic_chain` skips dead proxies; here, every hop of the chain has to work",
  ]);
});

test("a random chain, and one that takes turns, choose for each place", async () => {
  const [random, turns] = await Promise.all(
    ["random_chain\nchain_len = 2", "round_robin_chain"].map((kind) =>
      importing(`${kind}\nproxy_dns\n[ProxyList]\nhttp a 1\nsocks5 b 2\n`)
    ),
  );
  const names = ["hop1", "hop2"];
  assertEquals((random.config as { chains: unknown }).chains, {
    out: [{ random: names }, { random: names }],
  });
  assertEquals((turns.config as { chains: unknown }).chains, { out: [{ roundRobin: names }] });
  assertEquals(random.report, [
    "f:1: `random_chain` may take one proxy for several places of a chain here",
  ]);
});

const refused: [what: string, text: string, problems: string[]][] = [
  ["no proxies", "[ProxyList]\n", ["f: expected proxies under [ProxyList], found none"]],
  ["a raw proxy", "[ProxyList]\nraw 10.0.0.1 1\n", [
    "f:2: a proxy of type `raw` cannot be carried over; expected http, socks4 or socks5",
  ]],
  ["no port", "[ProxyList]\nhttp 10.0.0.1\n", ["f:2: expected type, host and port of a proxy"]],
  ["a port out of range", "[ProxyList]\n\nhttp 10.0.0.1 99999 alice hunter2\n", [
    'f:3: hops.hop1.address: "99999" is not a port; expected 1 to 65535',
  ]],
];

for (const [what, text, problems] of refused) {
  test(`refused: ${what}`, async () => assertEquals(await refusal(text), problems));
}
