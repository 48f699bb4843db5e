/** The URLs of hops and listeners: what they mean, what is refused, and that no password is ever quoted. */
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ValueError } from "../../src/config/problems.ts";
import { hopSchemes } from "../../src/config/protocols.ts";
import { type HopUrl, type ListenerUrl, parseHopUrl, parseListenerUrl } from "../../src/config/url.ts";

const pin = `sha256/${"A".repeat(42)}+=`.replace("A+=", "+A=");

const hops: Record<string, HopUrl> = {
  "http://proxy": { protocol: "http", address: "proxy:80" },
  "HTTP://proxy/": { protocol: "http", address: "proxy:80" },
  "https://proxy": { protocol: "https", address: "proxy:443" },
  "http+tls://proxy:8443": { protocol: "http+tls", address: "proxy:8443" },
  "h2://alice:x@relay": { protocol: "h2", address: "relay:443", username: "alice", password: "x" },
  "h2://relay:8443?sni=x.example": {
    protocol: "h2",
    address: "relay:8443",
    tls: { serverName: "x.example" },
  },
  "socks5://relay_1.example": { protocol: "socks5", address: "relay_1.example:1080" },
  "socks5h://relay": { protocol: "socks5h", address: "relay:1080" },
  "socks5+tls://relay": { protocol: "socks5+tls", address: "relay:443" },
  "socks4a://relay": { protocol: "socks4a", address: "relay:1080" },
  "socks4://10.0.0.1:9": { protocol: "socks4", address: "10.0.0.1:9" },
  "socks5://[::1]": { protocol: "socks5", address: "[::1]:1080" },
  "socks5://[2001:DB8:0::1]:65535": { protocol: "socks5", address: "[2001:db8::1]:65535" },
  "http://bücher.example": { protocol: "http", address: "xn--bcher-kva.example:80" },
  "http://alice@h": { protocol: "http", address: "h:80", username: "alice" },
  "http://alice:@h": { protocol: "http", address: "h:80", username: "alice", password: "" },
  "http://a%40b:p%3A%2F%25:%C3%BC@h": {
    protocol: "http",
    address: "h:80",
    username: "a@b",
    password: "p:/%:ü",
  },
  "https://h?sni=": { protocol: "https", address: "h:443", tls: { serverName: "" } },
  [`socks5+tls://h?sni=x.example&ca=a%20b.pem&cert=c&key=k&pin=${pin}&pin=second&alpn=h2,http/1.1&insecure=true`]:
    {
      protocol: "socks5+tls",
      address: "h:443",
      tls: {
        serverName: "x.example",
        ca: "a b.pem",
        certificate: "c",
        key: "k",
        pins: [pin, "second"],
        alpn: ["h2", "http/1.1"],
        insecure: true,
      },
    },
  "http://h?forward=absolute": { protocol: "http", address: "h:80", forward: "absolute" },
  "socks5://h?resolve=local&timeout=5s": {
    protocol: "socks5",
    address: "h:1080",
    resolve: "local",
    timeout: "5s",
  },
};

for (const [text, expected] of Object.entries(hops)) {
  test(`hop ${text}`, () => assertEquals(parseHopUrl(text), expected));
}

const listeners: Record<string, ListenerUrl> = {
  ":1080": { address: "[::]:1080" },
  "0.0.0.0:1080": { address: "0.0.0.0:1080" },
  "127.0.0.1:0": { address: "127.0.0.1:0" },
  "[::1]:1080": { address: "[::1]:1080" },
  "localhost:1080/": { address: "localhost:1080" },
  "auto://127.0.0.1:1080": { address: "127.0.0.1:1080" },
  "alice:p%40ss@:1080": { address: "[::]:1080", users: [{ username: "alice", password: "p@ss" }] },
  "socks5://:1080": { address: "[::]:1080", protocols: ["socks5"] },
  "socks5,http://:1080": { address: "[::]:1080", protocols: ["socks5", "http"] },
  "socks5h,socks4a,socks4://:1": { address: "[::]:1", protocols: ["socks5", "socks4"] },
  "socks5+tls://:443?cert=c&key=k": {
    address: "[::]:443",
    protocols: ["socks5"],
    tls: { certificate: "c", key: "k", required: true },
  },
  "https://:443?cert=c&key=k&client-ca=ca": {
    address: "[::]:443",
    protocols: ["http"],
    tls: { certificate: "c", key: "k", clientCa: "ca", required: true },
  },
  "socks5,http+tls://:443": { address: "[::]:443", protocols: ["socks5", "http"], tls: { required: true } },
  "auto://:443?cert=c&key=k": { address: "[::]:443", tls: { certificate: "c", key: "k" } },
  ":443?open=true": { address: "[::]:443", open: true },
  "sni://:443": { address: "[::]:443", sni: true },
  "sni://127.0.0.1:443?port=8443": { address: "127.0.0.1:443", sni: { port: 8443 } },
  ":1?proxy-protocol=10.0.0.0/8,::1": {
    address: "[::]:1",
    proxyProtocol: { trusted: ["10.0.0.0/8", "::1"] },
  },
  "127.0.0.1:1?forwarded=true": { address: "127.0.0.1:1", forwarded: true },
  "tcp://:2222/host:22": { address: "[::]:2222", target: "host:22" },
  "tcp://127.0.0.1:2222/[::1]:22": { address: "127.0.0.1:2222", target: "[::1]:22" },
  "tcp+tls://:1/h:2?cert=c&key=k": {
    address: "[::]:1",
    target: "h:2",
    tls: { certificate: "c", key: "k", required: true },
  },
};

for (const [text, expected] of Object.entries(listeners)) {
  test(`listener ${text}`, () => assertEquals(parseListenerUrl(text), expected));
}

const badHops: Record<string, string> = {
  "": "found no scheme",
  "relay:1080": "found no scheme",
  "sock5://h": 'unknown scheme "sock5"; did you mean "socks5"?',
  "h2+tls://h": 'unknown scheme "h2+tls"',
  "http://": "found no host",
  "http://h:0": '"0" is not a port; expected 1 to 65535',
  "http://h:65536": '"65536" is not a port',
  "http://h:": "expected a port",
  "http://h:+80": "expected a port",
  "http://::1": "IPv6 address stands in brackets",
  "http://[1.2.3.4]": "is not an IPv6 address in brackets",
  "http://[fe80::1%25eth0]": "is not a host name",
  "http://a%00b": "is not a host name",
  "http://a b": "no space or control character",
  "http://a\r\nb": "no space or control character",
  [`http://${"a".repeat(256)}`]: "at most 255",
  "http://h/path": "no path",
  "http://h#x": "`#` has no meaning",
  "http://a@b@h": "percent-encode what is special",
  "http://a:p/w@h": "percent-encode what is special",
  "http://a:p?w@h": "percent-encode what is special",
  "http://a:p#w@h": "percent-encode what is special",
  "http://a%zz@h": "the user name has a %",
  "http://a:%ff@h": "the password has a %",
  "https://h?pn=x": 'unknown option "pn"; did you mean `pin`?',
  "https://h?toString=x": 'unknown option "toString"',
  "https://h?sni": "expected `sni=…`",
  "https://h?sni=a&sni=b": "`sni` stands twice",
  "https://h?insecure=yes": 'expected `insecure=true` or `insecure=false`, found "yes"',
  "socks5://h?pin=x": "`pin` is an option of TLS, and this URL has none: write socks5+tls://",
  "http://h?insecure=true": "write http+tls://",
};

const badListeners: Record<string, string> = {
  "": "found no port",
  "1080": "found no port",
  "127.0.0.1": "found no port",
  "::1:1080": "IPv6 address stands in brackets",
  ":65536": "expected 0 to 65535",
  "scks5://:1": 'unknown scheme "scks5"; did you mean "socks5"?',
  "socks5,auto://:1": "auto:// stands alone",
  "socks5,tcp://:1/h:1": "tcp:// stands alone",
  "sni://:443?cert=c&key=k": "sni:// terminates no TLS",
  "sni+tls://:443": "write it without +tls",
  "sni,http://:443": "sni:// stands alone",
  "sni://alice@:443": "cannot ask for a user",
  "sni://:443/h:1": "only tcp:// has a target",
  ":1?port=443": "`port` is an option of sni://",
  "socks5+tls,http://:1": "write socks5,http+tls://",
  "socks5://:1?cert=c&key=k": "write socks5+tls:// (required) or auto:// (optional)",
  "tcp://:1/h:1?cert=c": "write tcp+tls://",
  "tcp://:1": "found no target",
  "tcp://:1/h": "found no port",
  "socks5://:1/h:2": "only tcp:// has a target",
  ":1?opn=true": "did you mean `open`?",
};

for (const [parse, table] of [[parseHopUrl, badHops], [parseListenerUrl, badListeners]] as const) {
  for (const [text, expected] of Object.entries(table)) {
    test(`${parse.name} refuses ${JSON.stringify(text.slice(0, 60))}`, () => {
      const { message } = assertThrows(() => void parse(text), ValueError) as ValueError;
      assertStringIncludes(message, expected);
    });
  }
}

const label = fc.stringMatching(/^[a-z][a-z0-9_-]{0,20}$/);
const host = fc.oneof(
  fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join(".")),
  fc.ipV4(),
  fc.constantFrom("[::1]", "[2001:db8::1]", "[fe80::1:2]"),
);
const credential = fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 });

test("what is formatted as a URL is parsed as it was", () => {
  const schemes = fc.constantFrom(...Object.keys(hopSchemes) as (keyof typeof hopSchemes)[]);
  const port = fc.integer({ min: 1, max: 65535 });
  fc.assert(
    fc.property(schemes, host, port, credential, credential, (protocol, host, port, username, password) => {
      const encode = encodeURIComponent;
      const text = `${protocol}://${encode(username)}:${encode(password)}@${host}:${port}?timeout=${
        encode(password)
      }`;
      assertEquals(parseHopUrl(text), {
        protocol,
        address: `${host}:${port}`,
        username,
        password,
        timeout: password,
      });
    }),
  );
});

const urlLike = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(
    fc.oneof(
      fc.constantFrom(
        "socks5",
        "http",
        "auto",
        "tcp",
        "+tls",
        "://",
        ":",
        "@",
        "/",
        "?",
        "&",
        "=",
        "%",
        "[",
        "]",
        ",",
      ),
      fc.constantFrom(
        "cert",
        "key",
        "pin",
        "open",
        "true",
        "::1",
        "127.0.0.1",
        "1080",
        "#",
        "__proto__",
        "%ff",
        "\0",
      ),
      fc.string({ unit: "binary", maxLength: 4 }),
    ),
    { maxLength: 12 },
  ).map((pieces) => pieces.join("")),
);

test("arbitrary text makes a URL or one class of error", () => {
  fc.assert(
    fc.property(urlLike, fc.constantFrom(parseHopUrl, parseListenerUrl), (text, parse) => {
      try {
        parse(text);
      } catch (error) {
        assert(error instanceof ValueError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

test("no message quotes a password, however the rest is broken", () => {
  const secret = "hunter2secret";
  const templates = fc.tuple(
    fc.constantFrom("http://", "socks5://", "sock://", "h2://", "sni://", "tcp://", "", "socks5,http+tls://"),
    fc.constantFrom("", "a", "ü", "%"),
    fc.constantFrom(":", ":%zz", ":x@", ":x/", ":x?", ":x#", ":x:", ":[", ":x "),
    fc.constantFrom(
      "@h",
      "@h:0",
      "@h:99999",
      "@",
      "@h/path",
      "@h?x=y",
      "@h?pin=x",
      "@h h",
      "@h:1@i",
      "",
      "@[::1",
    ),
  );
  fc.assert(
    fc.property(
      templates,
      fc.constantFrom(parseHopUrl, parseListenerUrl),
      ([scheme, user, colon, rest], parse) => {
        try {
          parse(`${scheme}${user}${colon}${secret}${rest}`);
        } catch (error) {
          assert(!(error as Error).message.includes(secret), (error as Error).message);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
