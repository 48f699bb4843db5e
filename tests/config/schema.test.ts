/** What a configuration means, and what it must not say. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { z } from "zod";
import { validateConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problems.ts";
import { type ConfigInput, configSchema, jsonSchema, theChain } from "../../src/config/schema.ts";
import { certificate, key, otherKey } from "../support/pem.ts";
import { hopsOf } from "./elements.ts";

const pin = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/** PEM in form, but not in content. */
function garbled(pem: string): string {
  return pem.replace(/\n[^-]+/, "\nAA==\n");
}

/** The problems of a configuration, as `path: message`. */
async function problems(input: unknown): Promise<string[]> {
  const error = await assertRejects(() => validateConfig(input as ConfigInput), ConfigError) as ConfigError;
  return error.problems.map(({ path, message }) => `${path}: ${message}`);
}

test("an empty configuration is filled with defaults", async () => {
  assertEquals(await validateConfig({}), {
    listeners: [],
    hops: {},
    chains: {},
    access: {},
    timeouts: { handshake: 10_000, connect: 10_000, idle: 3_600_000, halfClosed: 300_000, drain: 30_000 },
    limits: { tunnels: 10_000, tunnelsPerClient: 1_000, headerBytes: 65_536 },
    log: { level: "info", format: "text" },
  });
});

test("durations and sizes become numbers", async () => {
  const { timeouts, limits } = await validateConfig({
    timeouts: { handshake: "250ms", connect: "1s", idle: "596h", halfClosed: "2m", drain: "0s" },
    limits: { headerBytes: "1MiB" },
  });
  assertEquals(timeouts, {
    handshake: 250,
    connect: 1000,
    idle: 2_145_600_000,
    halfClosed: 120_000,
    drain: 0,
  });
  assertEquals(limits.headerBytes, 1_048_576);
  assertEquals((await validateConfig({ limits: { headerBytes: 1024 } })).limits.headerBytes, 1024);
});

test("a hop means the same as a URL and as an object", async () => {
  const { hops } = await validateConfig({
    hops: {
      url:
        `socks5+tls://alice:p%40ss@relay.example:8443?sni=x.example&pin=sha256/${pin}&alpn=a,b&timeout=5s&resolve=local`,
      object: {
        protocol: "socks5+tls",
        address: "relay.example:8443",
        username: "alice",
        password: "p@ss",
        tls: { serverName: "x.example", pins: [`sha256/${pin}`], alpn: ["a", "b"] },
        timeout: "5s",
        resolve: "local",
      },
    },
  });
  assertEquals({ ...hops.url, name: "" }, { ...hops.object, name: "" });
  assertEquals(hops.object, {
    name: "object",
    protocol: "socks5",
    address: { hostname: "relay.example", port: 8443 },
    username: "alice",
    password: "p@ss",
    tls: { serverName: "x.example", pins: [pin], alpn: ["a", "b"], insecure: false },
    timeout: 5000,
    resolve: "local",
  });
});

test("a hop without a port has that of its protocol", async () => {
  const ports = {
    http: 80,
    https: 443,
    "http+tls": 443,
    socks5: 1080,
    socks4: 1080,
    socks4a: 1080,
    "socks5+tls": 443,
  };
  for (const [protocol, port] of Object.entries(ports)) {
    const { hops } = await validateConfig({
      hops: { a: `${protocol}://h`, b: { protocol: protocol as "http", address: "h" } },
    });
    assertEquals([hops.a.address.port, hops.b.address.port], [port, port], protocol);
  }
  const { hops } = await validateConfig({ hops: { a: { protocol: "socks5", address: "h", tls: {} } } });
  assertEquals(hops.a.address.port, 443);
});

test("a listener means the same as a URL and as an object", async () => {
  const { listeners } = await validateConfig({
    listeners: [
      `socks5,http+tls://alice:secret@:443?cert=${encodeURIComponent(certificate)}&key=${
        encodeURIComponent(key)
      }`,
      {
        address: ":444",
        protocols: ["socks5", "http"],
        users: [{ username: "alice", password: "secret" }],
        tls: { certificate, key, required: true },
      },
    ],
  });
  assertEquals(listeners[1], {
    address: { hostname: "::", port: 444 },
    protocols: ["socks5", "http"],
    users: [{ username: "alice", password: "secret" }],
    tls: [{ certificate, key, required: true }],
    open: false,
  });
  assertEquals({ ...listeners[0], address: null }, { ...listeners[1], address: null });
});

test("TLS is optional on auto:// unless client certificates are asked for", async () => {
  const tls = { certificate, key };
  const { listeners } = await validateConfig({
    listeners: [{ address: "127.0.0.1:1", tls }, { address: ":2", tls: [{ ...tls, clientCa: certificate }] }],
  });
  assertEquals(listeners.map((listener) => listener.tls?.[0].required), [false, true]);
});

test("TLS by name and the PROXY protocol mean the same as URLs and as objects", async () => {
  const { listeners, hops } = await validateConfig({
    listeners: [
      "sni://127.0.0.1:9?port=8443&proxy-protocol=10.0.0.0/8,::1",
      { address: "127.0.0.1:1", sni: { port: 8443 }, proxyProtocol: { trusted: ["10.0.0.0/8", "::1"] } },
      {
        address: "127.0.0.1:2",
        sni: true,
        tls: [{ certificate, key }, { certificate, key }],
        target: "h:80",
      },
      {
        address: "127.0.0.1:3",
        sni: false,
        target: { address: "h:443", tls: { serverName: "x" }, proxyProtocol: 2 },
      },
      {
        address: "127.0.0.1:4",
        sni: { names: ["*.Corp.Example.", "b\u00fccher.example"], proxyProtocol: 1 },
      },
    ],
    hops: { a: "http://h?proxy-protocol=2", b: { protocol: "http", address: "h", proxyProtocol: 2 } },
  });
  assertEquals({ ...listeners[0], address: null }, { ...listeners[1], address: null });
  assertEquals(listeners[0].sni, { port: 8443 });
  assertEquals(listeners[0].proxyProtocol?.trusted, [{ address: "10.0.0.0", prefix: 8 }, {
    address: "::1",
    prefix: 128,
  }]);
  assertEquals(listeners[2].sni, { port: 443 });
  assertEquals(listeners[2].tls?.length, 2);
  assertEquals(listeners[2].target, { address: { hostname: "h", port: 80 } });
  assertEquals(listeners[3].sni, undefined);
  assertEquals(listeners[3].target, {
    address: { hostname: "h", port: 443 },
    tls: { serverName: "x", pins: [], alpn: [], insecure: false },
    proxyProtocol: 2,
  });
  assertEquals(listeners[4].sni, {
    port: 443,
    names: ["*.corp.example", "xn--bcher-kva.example"],
    proxyProtocol: 1,
  });
  assertEquals([hops.a.proxyProtocol, hops.b.proxyProtocol], [2, 2]);
});

test("chains name hops, or hold them", async () => {
  const config = await validateConfig({
    hops: { office: "http://office:8080" },
    chains: { out: ["office", "socks5://exit", { protocol: "socks4", address: "last" }] },
  });
  const chain = theChain(config);
  assertEquals(chain?.name, "out");
  assertEquals(hopsOf(chain?.hops).map(({ name, address }) => name ?? address.hostname), [
    "office",
    "exit",
    "last",
  ]);
  assert(chain?.hops[0] === config.hops.office);
});

test("without a chain the way is direct; the chain of the flags comes first", async () => {
  assertEquals(theChain(await validateConfig({ hops: { a: "http://a" } })), null);
  const config = await validateConfig({ chains: { a: ["http://a"], cli: ["http://b"] } });
  assertEquals(theChain(config)?.name, "cli");
});

test("names of the object prototype are names like any other", async () => {
  assertEquals(await problems({ chains: { a: ["constructor"] } }), [
    'chains.a[0]: expected a hop\'s name or URL, found "constructor"',
  ]);
  const config = await validateConfig(
    JSON.parse('{ "hops": { "constructor": "http://h" }, "chains": { "toString": ["constructor"] } }'),
  );
  assertEquals(hopsOf(theChain(config)?.hops)[0].name, "constructor");
});

test("loopback listeners need no users, others need them or the word", async () => {
  for (const address of ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"]) {
    await validateConfig({ listeners: [{ address }] });
  }
  const users = [{ username: "alice", password: "x" }];
  await validateConfig({ listeners: [{ address: ":1", users }, { address: ":2", open: true }] });
  const tls = { certificate, key, clientCa: certificate };
  await validateConfig({ listeners: [{ address: ":1", tls }] });
  const open = ": others can reach it and nobody has to log in; list `users`, listen on 127.0.0.1, " +
    'or say open=true (as a key: "open": true)';
  assertEquals(
    await problems({
      listeners: [
        ":1",
        { address: "0.0.0.0:1" },
        { address: "example.com:1" },
        { address: ":2", tls: { ...tls, required: false } },
        { address: ":3", tls: { certificate, key, required: true } },
        "tcp://:4/h:1",
      ],
    }),
    [
      `listeners[0]: [::]:1 would be an open proxy${open}`,
      `listeners[1].address: 0.0.0.0:1 would be an open proxy${open}`,
      `listeners[2].address: example.com:1 would be an open proxy${open}`,
      `listeners[3].address: [::]:2 would be an open proxy${open}`,
      `listeners[4].address: [::]:3 would be an open proxy${open}`,
      `listeners[5]: [::]:4 would be an open way to its target${open.replace(" list `users`,", "")}`,
    ],
  );
});

const notSupported = "is not supported by this version of Hopline";

const refused: [name: string, input: unknown, expected: string[]][] = [
  ["features to come", { admin: {} }, [
    `admin: \`admin\` ${notSupported}`,
  ]],
  ["TLS by name that contradicts itself", {
    listeners: [
      "sni://:443",
      { address: "127.0.0.1:1", sni: { port: 0, names: [] } },
      { address: "127.0.0.1:2", sni: { names: ["*", "a b", "::1", "*.*.example"] } },
      { address: "127.0.0.1:3", sni: true, users: [{ username: "a", password: "b" }] },
      { address: "127.0.0.1:4", sni: true, target: "h:1" },
      { address: ":5", sni: true, tls: { certificate, key, clientCa: certificate, target: "h:1" } },
      { address: "127.0.0.1:6", sni: "yes", tls: [] },
      { address: "127.0.0.1:7", sni: true, tls: { certificate, key } },
      { address: "127.0.0.1:8", tls: [{ certificate, key }, { certificate, key, target: "h:1" }] },
      {
        address: "127.0.0.1:9",
        tls: [{ certificate, key, target: "h:1" }],
        users: [{ username: "a", password: "b" }],
      },
    ],
  }, [
    'listeners[0]: [::]:443 would be an open proxy: others can reach it and nobody has to log in; listen on 127.0.0.1, or say open=true (as a key: "open": true)',
    "listeners[1].sni.names: expected at least 1 entry, found 0",
    "listeners[1].sni.port: expected at least 1, found 0",
    'listeners[2].sni.names[0]: "*" is not a host name',
    'listeners[2].sni.names[1]: "a b" is not a host name',
    'listeners[2].sni.names[2]: expected a name, or one behind *., found "::1"',
    'listeners[2].sni.names[3]: "*.example" is not a host name',
    "listeners[3].users: TLS that is passed on (`sni`) cannot ask for a user; leave `users` out",
    "listeners[4].target: with `sni`, a `target` is for the TLS that is terminated; list `tls` too",
    'listeners[5].address: [::]:5 would be an open proxy: others can reach it and nobody has to log in; listen on 127.0.0.1, or say open=true (as a key: "open": true)',
    "listeners[6].sni: expected true or false or an object, found a string",
    "listeners[6].tls: expected at least 1 entry, found 0",
    "listeners[7].tls: nothing is said of what is inside this TLS; name a `target`, or list `protocols`",
    "listeners[8].tls: nothing is said of what is inside this TLS; name a `target`, or list `protocols`",
    "listeners[9].tls[0].target: a `target` cannot ask for a user; leave `users` out",
  ]],
  ["the PROXY protocol without sense", {
    listeners: [
      { address: "127.0.0.1:1", proxyProtocol: { trusted: [] } },
      { address: "127.0.0.1:2", proxyProtocol: { trusted: ["10.0.0.0/33", "example.com", "fe80::1%1/64"] } },
      "127.0.0.1:3?proxy-protocol=",
      { address: "127.0.0.1:4", target: { address: "h:1", proxyProtocol: 3 } },
      { address: "127.0.0.1:5", target: { address: "h" } },
    ],
    hops: { a: "http://h?proxy-protocol=v2" },
  }, [
    "hops.a: proxy-protocol: expected 1 or 2, the version of the PROXY protocol",
    "listeners[0].proxyProtocol.trusted: expected at least 1 entry, found 0",
    'listeners[1].proxyProtocol.trusted[0]: "10.0.0.0/33" is no block of addresses such as 10.0.0.0/8',
    'listeners[1].proxyProtocol.trusted[1]: "example.com" is no block of addresses such as 10.0.0.0/8',
    'listeners[1].proxyProtocol.trusted[2]: "fe80::1%1/64" is no block of addresses such as 10.0.0.0/8',
    'listeners[2]: proxy-protocol: "" is no block of addresses such as 10.0.0.0/8',
    "listeners[3].target.proxyProtocol: expected 1 or 2, the version of the PROXY protocol",
    "listeners[4].target.address: expected host:port, found no port",
  ]],
  ["HTTP/2 that is not offered, and a name that Basic can't carry", {
    hops: {
      a: "h2://h?alpn=http/1.1",
      b: { protocol: "h2", address: "h", tls: { alpn: ["x"] } },
      c: "h2://a%3Ab:c@h",
    },
  }, [
    'hops.a: alpn: a hop that speaks HTTP/2 is offered "h2"; name it, or leave `alpn` out',
    'hops.b.tls.alpn: a hop that speaks HTTP/2 is offered "h2"; name it, or leave `alpn` out',
    "hops.c: username: HTTP Basic authentication cannot carry a user name with a colon",
  ]],
  ["HTTP/2 where a connection is for one client or one request", {
    hops: {
      a: "h2://h?proxy-protocol=2",
      b: "https://h?alpn=h2,http/1.1&proxy-protocol=1",
      c: { protocol: "https", address: "h", tls: { alpn: ["h2"] }, forward: "absolute" },
      d: "https://h?proxy-protocol=1&alpn=http/1.1",
    },
  }, [
    "hops.a: proxy-protocol: HTTP/2 shares a connection among clients, so it can't be told of one; use https",
    "hops.b: alpn: a hop with `proxyProtocol` speaks HTTP/1.1; leave `alpn` out",
    "hops.c.tls.alpn: a hop with `forward` speaks HTTP/1.1; leave `alpn` out",
  ]],
  ["several chains", { chains: { a: ["http://a"], b: ["http://b"] } }, [
    "chains: several chains need `routes` to choose between them",
  ]],
  ["an empty chain", { chains: { a: [] } }, ["chains.a: expected at least 1 entry, found 0"]],
  ["reserved and impossible names", {
    hops: { direct: "http://h", "a b": "http://h" },
    chains: { reject: ["http://h"] },
  }, [
    "hops.direct: the name `direct` is reserved",
    'hops["a b"]: expected a name of 1 to 255 characters without spaces and / : , @',
    "chains.reject: the name `reject` is reserved",
  ]],
  [
    "one address twice",
    { listeners: ["127.0.0.1:5", "127.0.0.1:0", "127.0.0.1:0", "socks5://127.0.0.1:5"] },
    [
      "listeners[3]: another listener has the address 127.0.0.1:5",
    ],
  ],
  ["contradictions in a listener", {
    listeners: [
      { address: "127.0.0.1:1", protocols: ["socks4"], users: [{ username: "a", password: "b" }] },
      {
        address: "127.0.0.1:2",
        protocols: ["http"],
        target: "h:1",
        users: [{ username: "a", password: "b" }],
      },
    ],
  }, [
    "listeners[0].protocols[0]: SOCKS4 has no password, so a listener with `users` cannot offer it",
    "listeners[1].protocols: a port forward (`target`) speaks no protocol of its own; leave `protocols` out",
    "listeners[1].users: a port forward (`target`) cannot ask for a user; leave `users` out",
  ]],
  ["requests in absolute form where there can be none", {
    hops: {
      a: "socks5://h?forward=absolute",
      b: { protocol: "http", address: "h", forward: "absolute", resolve: "local" },
      c: "http://h?forward=relative",
    },
  }, [
    "hops.a: forward: only an HTTP proxy can be asked in absolute form",
    "hops.b.resolve: requests in absolute form carry the name itself: leave `resolve` out",
    'hops.c: forward: expected "absolute", found "relative"',
  ]],
  ["users nobody can be", {
    listeners: [{
      address: "127.0.0.1:1",
      users: [
        { username: "", password: "" },
        { username: "ü".repeat(128), password: "x".repeat(256) },
        { username: "a", password: "x" },
        { username: "a", password: "y" },
        { username: "a:b", password: "x" },
      ],
    }, { address: "127.0.0.1:2", users: [] }],
  }, [
    "listeners[0].users[0].username: expected 1 to 255 bytes, found 0",
    "listeners[0].users[0].password: expected 1 to 255 bytes, found 0",
    "listeners[0].users[1].username: expected 1 to 255 bytes, found 256",
    "listeners[0].users[1].password: expected 1 to 255 bytes, found 256",
    "listeners[0].users[3].username: this user is listed twice",
    "listeners[0].users[4].username: a user name with a colon cannot log in over HTTP",
    "listeners[1].users: expected at least 1 entry, found 0",
  ]],
  ["credentials that a hop's protocol cannot carry", {
    hops: {
      a: "socks4://u:p@h",
      b: "socks5://:p@h",
      c: `socks5://${"u".repeat(256)}:p@h`,
      d: "http://a%3Ab:p@h",
      e: "http://a:p%0d%0aX@h",
    },
  }, [
    "hops.a: password: SOCKS4 has no password",
    "hops.b: password: a password needs a `username`",
    "hops.c: username: expected at most 255 bytes, found 256",
    "hops.d: username: HTTP Basic authentication cannot carry a user name with a colon",
    "hops.e: password: expected no control character",
  ]],
  ["half a TLS client certificate", {
    hops: {
      a: { protocol: "https", address: "h", tls: { certificate } },
      b: { protocol: "https", address: "h", tls: { key } },
      c: { protocol: "https", address: "h", tls: { certificate: key, key: certificate } },
      d: {
        protocol: "https",
        address: "h",
        tls: { certificate, key: "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" },
      },
    },
  }, [
    "hops.a.tls.certificate: a client certificate needs its `key`",
    "hops.b.tls.key: a key needs its `certificate`",
    "hops.c.tls.certificate: expected a certificate in PEM form, the text holds none",
    "hops.c.tls.key: expected a private key in PEM form, the text holds none",
    "hops.d.tls.key: the text holds an encrypted private key; expected one without a pass phrase",
  ]],
  ["TLS without a certificate", { listeners: ["socks5+tls://127.0.0.1:1"] }, [
    "listeners[0]: cert: is missing; expected a string",
    "listeners[0]: key: is missing; expected a string",
  ]],
  ["pins, names and ALPN", {
    hops: {
      a: "https://h?pin=sha256/AAAA&pin=sha1/x",
      b: "https://h?sni=a%20b",
      c: { protocol: "https", address: "h", tls: { alpn: [""] } },
    },
  }, [
    'hops.a: pin: expected sha256/ and the 44 base64 characters of a hash, found "sha256/AAAA"',
    'hops.a: pin: expected sha256/ and the 44 base64 characters of a hash, found "sha1/x"',
    'hops.b: sni: "a b" is not a host name',
    "hops.c.tls.alpn[0]: expected 1 to 255 bytes",
  ]],
  ["addresses", {
    listeners: [{ address: "::1:80" }, { address: "socks5://:80" }, { address: "127.0.0.1:1", target: "h" }],
    hops: { a: { protocol: "http", address: "::1" }, b: { protocol: "http", address: "http://h" } },
  }, [
    'listeners[0].address: expected [host]:port, found "::1:80"',
    'listeners[1].address: expected [host]:port, found "socks5://:80"',
    "listeners[2].target: expected host:port, found no port",
    'hops.a.address: expected host:port (an IPv6 address in brackets), found "::1"',
    'hops.b.address: expected host:port (an IPv6 address in brackets), found "http://h"',
  ]],
  ["numbers and durations", {
    timeouts: { handshake: "0s", connect: "597h", idle: "1.5s", drain: "-1s", halfClosed: 5 },
    limits: { tunnels: 0, tunnelsPerClient: 1.5, tunnelsPerUser: 0, headerBytes: "16KB" },
  }, [
    'timeouts.handshake: expected more than zero, found "0s"',
    'timeouts.connect: expected at most "596h", found "597h"',
    'timeouts.idle: expected a duration such as "250ms", "10s", "5m" or "1h", found "1.5s"',
    'timeouts.halfClosed: expected a duration such as "10s", found a number',
    'timeouts.drain: expected a duration such as "250ms", "10s", "5m" or "1h", found "-1s"',
    "limits.tunnels: expected more than 0, found 0",
    "limits.tunnelsPerClient: expected a whole number, found 1.5",
    "limits.tunnelsPerUser: expected more than 0, found 0",
    'limits.headerBytes: expected a size such as "16KiB" or "1MiB", found "16KB"',
  ]],
  ["less than the least", {
    limits: { tunnels: -1, headerBytes: 1023 },
    listeners: [{ address: "127.0.0.1:1", sni: { port: 0 } }, { address: "127.0.0.1:2", users: [] }],
  }, [
    "limits.tunnels: expected more than 0, found -1",
    'limits.headerBytes: expected at least "1KiB" (1024 bytes), found 1023 bytes',
    "listeners[0].sni.port: expected at least 1, found 0",
    "listeners[1].users: expected at least 1 entry, found 0",
  ]],
  ["no room for a handshake", { limits: { headerBytes: "512B" } }, [
    'limits.headerBytes: expected at least "1KiB" (1024 bytes), found 512 bytes',
  ]],
  ["a key of another certificate, and PEM that holds neither", {
    listeners: [
      { address: "127.0.0.1:1", tls: { certificate, key: otherKey } },
      `socks5+tls://127.0.0.1:2?cert=${encodeURIComponent(certificate)}&key=${encodeURIComponent(otherKey)}`,
      { address: "127.0.0.1:3", tls: { certificate: garbled(certificate), key: garbled(key) } },
    ],
    hops: { a: { protocol: "https", address: "h", tls: { certificate, key: otherKey } } },
  }, [
    "listeners[0].tls.key: this private key does not belong to the `certificate` beside it",
    "listeners[1]: key: this private key does not belong to the `certificate` beside it",
    "listeners[2].tls.certificate: this PEM text holds no certificate that can be read",
    "listeners[2].tls.key: this PEM text holds no private key that can be read",
    "hops.a.tls.key: this private key does not belong to the `certificate` beside it",
  ]],
  ["unknown keys", {
    lgo: {},
    log: { lvl: "info" },
    listeners: [{ address: "127.0.0.1:1", user: [], tls: { cert: certificate, key, certificate } }],
    hops: { a: { protocol: "http", address: "h", zebra: 1 } },
  }, [
    "lgo: unknown key `lgo`; did you mean `log`?",
    "log.lvl: unknown key `lvl`; known are `level`, `format`",
    "listeners[0].user: unknown key `user`; did you mean `users`?",
    "listeners[0].tls.cert: unknown key `cert`; did you mean `certificate`?",
    "hops.a.zebra: unknown key `zebra`; known are `protocol`, `address`, `tls`, `proxyProtocol`, `username`, `password`, `resolve`, `forward`, `timeout`",
  ]],
];

for (const [name, input, expected] of refused) {
  test(`refused: ${name}`, async () => {
    const found = await problems(input);
    assertEquals(found.toSorted(), expected.toSorted());
  });
}

test("no message quotes a secret", async () => {
  const secret = "hunter2";
  const found = await problems({
    listeners: [
      `sock5://a:${secret}@:1`,
      `a:${secret}@nowhere`,
      { address: `a:${secret}@127.0.0.1:1` },
      {
        address: "127.0.0.1:1",
        users: [{ username: "a", password: secret, extra: 1 }, { username: 5, password: secret }],
      },
      {
        address: "127.0.0.1:2",
        users: [{ username: "a:b", password: secret }, { username: "", password: [secret] }],
      },
      { address: "127.0.0.1:3", target: `a:${secret}@h:1` },
      { address: "127.0.0.1:4", tls: { certificate: `${secret}\n`.repeat(9), key: secret.repeat(200) } },
    ],
    hops: {
      a: `http://a:${secret}@h:0`,
      b: `http://a:${secret}`,
      c: `socks4://a:${secret}@h`,
      d: { protocol: "http", address: `a:${secret}@h`, password: { text: secret } },
      e: { protocol: "http", address: "h", password: secret },
      f: { protocol: "socks5", address: "h", username: "a", password: `${secret}\n` },
    },
    chains: { x: [`a:${secret}@h:1080`, `socks5://${secret}:${secret}@h?x=y`] },
  });
  assert(found.length >= 15, found.join("\n"));
  for (const line of found) assert(!line.includes(secret), line);
});

test("the JSON Schema describes every key and has the defaults", () => {
  // deno-lint-ignore no-explicit-any
  const schema = jsonSchema() as any;
  assertEquals(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
  assertEquals(schema.additionalProperties, false);
  assertEquals(schema.required, undefined);
  assertEquals(schema.properties.timeouts.properties.idle.default, "1h");
  assertEquals(schema.properties.limits.properties.tunnels.default, 10_000);
  assertEquals(schema.properties.log.properties.level.enum, ["error", "warn", "info", "debug"]);
  const ways = schema.properties.routes.items.anyOf.map((one: typeof schema) => one.required);
  assertEquals(ways, [["via"], ["target"]]);
  const [url, object] = schema.properties.listeners.items.anyOf;
  assertEquals([url.type, object.type, object.required], ["string", "object", ["address"]]);
  const undescribed = Object.entries(schema.properties).filter(([, value]) =>
    !(value as typeof schema).description
  );
  assertEquals(undescribed, []);
});

test("the JSON Schema accepts what is right and refuses what is wrong", () => {
  const validator = z.fromJSONSchema(jsonSchema() as Parameters<typeof z.fromJSONSchema>[0]);
  const valid = (value: unknown) => validator.safeParse(value).success;
  assert(valid({}));
  assert(valid({
    $schema: "./hopline.schema.json",
    listeners: [":1080?open=true", {
      address: "0.0.0.0:443",
      protocols: ["socks5"],
      tls: { certificate: "c", key: "k", required: true },
      users: [{ username: "a", password: { file: "f" } }],
    }],
    hops: { a: "http://h", b: { protocol: "socks5+tls", address: "h", tls: { pins: [] } } },
    chains: { out: ["a", { protocol: "http", address: "h" }] },
    routes: [{ to: ["*.corp.example", "10.0.0.0/8"], via: "direct" }, { via: ["a", "http://h"] }, {
      target: { roundRobin: ["h:1", { address: "h:2", tls: {} }] },
    }],
    timeouts: { idle: "5m" },
    limits: { headerBytes: 1024, tunnels: 1 },
    log: { level: "debug" },
  }));
  const wrong = [
    { listners: [] },
    { listeners: [{}] },
    { listeners: [5] },
    { hops: { a: { protocol: "sock5", address: "h" } } },
    { chains: { a: [] } },
    { routes: [{}] },
    { routes: [{ via: 5 }] },
    { routes: [{ target: { address: "h:1", prot: 1 } }] },
    { timeouts: { idle: 5 } },
    { log: { level: "loud" } },
  ];
  assertEquals(wrong.filter(valid), []);
});

test("the schema itself can be used, too", async () => {
  const { data } = await configSchema.safeParseAsync({ listeners: [":1080?open=true"] });
  assertEquals(data?.listeners, [{ address: { hostname: "::", port: 1080 }, open: true }]);
});
