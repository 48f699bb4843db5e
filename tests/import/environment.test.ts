/** What becomes of `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. */
import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { ConfigError } from "../../src/config/problems.ts";
import { importVariables } from "../../src/import/import.ts";
import { outcome } from "./importing.ts";

const listeners = [{ address: "127.0.0.1:1080" }];

async function variables(environment: Record<string, string>) {
  return outcome(await importVariables(environment));
}

test("one proxy for everything is the only chain", async () => {
  const { config, report } = await variables({ ALL_PROXY: "socks5h://alice:p%40ss@relay.example.net:1080" });
  assertEquals(config, {
    listeners,
    hops: {
      "all-proxy": {
        protocol: "socks5",
        address: "relay.example.net:1080",
        username: "alice",
        password: "p@ss",
      },
    },
    chains: { out: ["all-proxy"] },
  });
  assertEquals(report, []);
});

test("the lower case wins, and a proxy for each scheme has its port", async () => {
  const { config, report } = await variables({
    http_proxy: "http://plain.example:3128",
    HTTP_PROXY: "http://other.example:1",
    HTTPS_PROXY: "secure.example:8080",
    all_proxy: "socks5://relay.example.net",
  });
  assertEquals(config, {
    listeners,
    hops: {
      "all-proxy": { protocol: "socks5", address: "relay.example.net" },
      "https-proxy": { protocol: "http", address: "secure.example:8080" },
      "http-proxy": { protocol: "http", address: "plain.example:3128", forward: "absolute" },
    },
    chains: { out: ["all-proxy"], https: ["https-proxy"], http: ["http-proxy"] },
    routes: [{ to: ["*:80"], via: "http" }, { to: ["*:443"], via: "https" }, { via: "out" }],
  });
  assertEquals(report, [
    "environment: ALL_PROXY: names are passed on to the proxy, as with socks5h://",
    "environment: HTTP_PROXY is taken for port 80 and HTTPS_PROXY for port 443, whatever is spoken there",
  ]);
});

test("NO_PROXY goes directly: a name with all below it, addresses and blocks", async () => {
  const { config, report } = await variables({
    ALL_PROXY: "http://proxy:3128",
    no_proxy: "localhost, .corp.example,*.lan,127.0.0.1 10.0.0.0/8,::1,[2001:db8::1]:80,host:8080,b@d",
  });
  assertEquals((config as { routes: unknown }).routes, [
    {
      to: [
        "localhost",
        "*.localhost",
        "corp.example",
        "*.corp.example",
        "lan",
        "*.lan",
        "127.0.0.1",
        "10.0.0.0/8",
        "::1",
        "[2001:db8::1]:80",
        "host:8080",
        "*.host:8080",
      ],
      via: "direct",
    },
    { via: "out" },
  ]);
  assertEquals(report, ['environment: NO_PROXY: "b@d" is left out; expected a name or an address']);
});

test("without ALL_PROXY, nothing goes directly", async () => {
  const { config, report } = await variables({ https_proxy: "http://proxy:3128" });
  assertEquals((config as { chains: unknown }).chains, { out: ["https-proxy"] });
  assertEquals(report, [
    "environment: without ALL_PROXY, all other ports take the same proxy instead of none",
  ]);
});

const refused: [what: string, environment: Record<string, string>, problem: string][] = [
  ["nothing set", { ALL_PROXY: "", NO_PROXY: "*" }, "none of ALL_PROXY, HTTPS_PROXY and HTTP_PROXY is set"],
  ["a scheme of another kind", { all_proxy: "ss://a:b@h:1" }, "ALL_PROXY: ss:// cannot be carried over"],
  [
    "percent-encoding that is none",
    { ALL_PROXY: "http://alice:hunter2%@h" },
    "ALL_PROXY: a URL has a % that begins no UTF-8 percent-encoding",
  ],
];

for (const [what, environment, problem] of refused) {
  test(`refused: ${what}`, async () => {
    const error = await assertRejects(() => importVariables(environment), ConfigError);
    assertEquals(error.message, `environment: ${problem}`);
  });
}
