/** What becomes of sing-box's outbounds. */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { importing, refusal } from "./importing.ts";

const listeners = [{ address: "127.0.0.1:1080" }];

const json = (value: unknown) => JSON.stringify(value, null, 1);

test("proxies with credentials, TLS and a detour", async () => {
  const { config, report } = await importing(json({
    outbounds: [
      {
        type: "socks",
        tag: "exit: home",
        server: "relay.example.net",
        server_port: 443,
        username: "alice",
        password: "hunter${2}",
        tls: { enabled: true, server_name: "x.example", alpn: ["a"], utls: {} },
        detour: "office",
        udp_over_tcp: true,
      },
      {
        type: "http",
        tag: "office",
        server: "2001:db8::1",
        server_port: 8080,
        connect_timeout: "5s",
        tls: { enabled: true, insecure: true, disable_sni: true },
      },
      { type: "direct", tag: "direct" },
      { type: "vmess", tag: "other", uuid: "secret-uuid" },
    ],
    log: {},
  }));
  assertEquals(config, {
    listeners,
    hops: {
      "exit-home": {
        protocol: "socks5+tls",
        address: "relay.example.net:443",
        username: "alice",
        password: "hunter$${2}",
        tls: { serverName: "x.example", alpn: ["a"] },
      },
      office: {
        protocol: "http+tls",
        address: "[2001:db8::1]:8080",
        tls: { serverName: "", insecure: true },
        timeout: "5s",
      },
    },
    chains: { "to-exit-home": ["office", "exit-home"] },
  });
  assertEquals(report.map((line) => line.replace(/^f:\d+: /, "")), [
    "tls: `utls` is left out",
    "socks: `udp_over_tcp` is left out",
    "`insecure`: the certificate of this hop is not verified",
    'the outbound "other" is left out: nothing leads to it',
    "`log` is left out",
  ]);
});

test("inbounds are listeners, and rules are routes", async () => {
  const { config, report } = await importing(json({
    inbounds: [
      { type: "mixed", listen: "127.0.0.1", listen_port: 2080, sniff: true },
      { type: "socks", listen_port: 1081, users: [{ username: "u", password: "p" }] },
      { type: "tun", interface_name: "tun0" },
    ],
    outbounds: [
      { type: "socks", tag: "a", version: "4a", server: "a.example", server_port: 1 },
      { type: "http", tag: "b", server: "b.example", server_port: 2 },
      { type: "block", tag: "block" },
      { type: "direct", tag: "direct" },
      { type: "trojan", tag: "t" },
    ],
    route: {
      rules: [
        { domain_suffix: ["corp.example", ".lan"], ip_cidr: "10.0.0.0/8", outbound: "direct" },
        { domain: "ads.example", outbound: "block" },
        { port: [25, 587], action: "reject" },
        { ip_cidr: "fc00::/7", port_range: "1000:2000", outbound: "a" },
        { domain: "x.example", outbound: "t" },
        { geosite: "cn", outbound: "direct" },
        { action: "sniff" },
      ],
      final: "b",
      auto_detect_interface: true,
    },
  }));
  assertEquals(config, {
    listeners: [
      { address: "127.0.0.1:2080" },
      { address: "[::]:1081", protocols: ["socks5"], users: [{ username: "u", password: "p" }] },
    ],
    hops: {
      a: { protocol: "socks4a", address: "a.example:1" },
      b: { protocol: "http", address: "b.example:2" },
    },
    chains: { "to-a": ["a"], "to-b": ["b"] },
    routes: [
      { to: ["corp.example", "*.corp.example", "*.lan", "10.0.0.0/8"], via: "direct" },
      { to: ["ads.example"], via: "reject" },
      { to: ["*:25", "*:587"], via: "reject" },
      { to: ["[fc00::/7]:1000-2000"], via: "to-a" },
      { to: ["x.example"], via: "reject" },
      { via: "to-b" },
    ],
  });
  assertEquals(report.map((line) => line.replace(/^f:\d+: /, "")), [
    "mixed: `sniff` is left out",
    'an inbound of type "tun" cannot be carried over',
    'an outbound of type "trojan" cannot be carried over',
    "this rule rejects now: its outbound is not carried over",
    "a rule with `geosite` cannot be carried over",
    'a rule with the action "sniff" cannot be carried over',
    "route: `auto_detect_interface` is left out",
  ]);
});

test("selectors and urltests are choices, one within the other", async () => {
  const server = (tag: string, more = {}) => ({ type: "socks", tag, server: tag, server_port: 1, ...more });
  const { config, report } = await importing(json({
    outbounds: [
      { type: "selector", tag: "pick", outbounds: ["a", "auto", "v", "block"], default: "auto" },
      {
        type: "urltest",
        tag: "auto",
        outbounds: ["a", "b", "direct"],
        url: "http://x.example/",
        interval: "1m",
      },
      server("a"),
      server("b", { detour: "a" }),
      { type: "vmess", tag: "v" },
      { type: "block", tag: "block" },
      { type: "direct", tag: "direct" },
    ],
  }));
  assertEquals(config, {
    listeners,
    hops: { a: { protocol: "socks5", address: "a:1" }, b: { protocol: "socks5", address: "b:1" } },
    chains: { "to-a": ["a"], "to-b": ["a", "b"] },
    routes: [{
      via: {
        failover: [
          { fastest: ["to-a", "to-b", "direct"], check: { target: "x.example:80", every: "1m" } },
          "to-a",
        ],
      },
    }],
  });
  assertEquals(report.map((line) => line.replace(/^f:\d+: /, "")), [
    "nobody switches a `selector` by hand here: the first that works is taken",
    "an outbound of type `block` cannot be a choice; it is left out",
    'an outbound of type "vmess" cannot be carried over',
  ]);
});

const refused: [what: string, text: string, problems: string[]][] = [
  ["broken JSON", '{\n "outbounds": [}', ["f:2:16: this is not JSON: value expected"]],
  ["no outbounds", "{}", ["f: expected `outbounds`, found none"]],
  ["a first outbound of another kind", json({ outbounds: [{ type: "vmess", tag: "v", uuid: "secret" }] }), [
    'f:3: an outbound of type "vmess" cannot be carried over',
    "f:3: the outbound that all takes cannot be carried over",
  ]],
  [
    "a detour in a circle",
    json({
      outbounds: [
        { type: "http", tag: "a", server: "a", server_port: 1, detour: "b" },
        { type: "http", tag: "b", server: "b", server_port: 1, detour: "a" },
      ],
    }),
    [
      "f:3: this `detour` leads in a circle",
      "f:10: this outbound is left out, because its `detour` is no proxy that is carried over",
      "f:3: this outbound is left out, because its `detour` is no proxy that is carried over",
      "f:3: the outbound that all takes cannot be carried over",
    ],
  ],
];

for (const [what, text, problems] of refused) {
  test(`refused: ${what}`, async () => {
    assertEquals(await refusal(text), problems);
  });
}
