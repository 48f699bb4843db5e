/**
 * A listener that is a web server: which requests go where, and which nowhere.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import http2 from "node:http2";
import { test } from "node:test";
import { ConfigError, type ConfigInput } from "../../mod.ts";
import { type Proxy, proxy } from "./proxying.ts";
import { ok, origin, server } from "./talk.ts";

const reversing = (at: string, more: NonNullable<ConfigInput["routes"]> = []): Promise<Proxy> =>
  proxy({
    listeners: [{ address: "127.0.0.1:0", reverse: true }],
    routes: [{ to: ["127.0.0.1:1"], via: "reject" }, { to: [at], via: "direct" }, ...more],
  });

const asked: [name: string, request: (at: string) => string, first: string, host: (at: string) => string][] =
  [
    ["origin-form", (at) => `GET /x?y HTTP/1.1\r\nHost: ${at}\r\n\r\n`, "GET /x?y HTTP/1.1", (at) => at],
    ["a fragment", (at) => `GET /x#y HTTP/1.1\r\nHost: ${at}\r\n\r\n`, "GET /x HTTP/1.1", (at) => at],
    [
      "a URL, whatever Host says",
      (at) => `GET http://${at}/x HTTP/1.1\r\nHost: other.example\r\n\r\n`,
      "GET /x HTTP/1.1",
      (at) => at,
    ],
    ["HTTP/1.0", (at) => `GET / HTTP/1.0\r\nHost: ${at}\r\n\r\n`, "GET / HTTP/1.1", (at) => at],
    ["OPTIONS *", (at) => `OPTIONS * HTTP/1.1\r\nHost: ${at}\r\n\r\n`, "OPTIONS * HTTP/1.1", (at) => at],
  ];
for (const [name, request, first, host] of asked) {
  test(`${name} goes by its site`, async () => {
    await using web = await origin();
    await using hopline = await reversing(web.at);
    using client = await hopline.client();
    client.send(request(web.at));
    assertEquals((await client.message()).text, "ok");
    assertEquals([web.requests[0].first, web.requests[0].field("host")], [first, host(web.at)]);
  });
}

test("Host goes on as the client wrote it, and the connection goes on", async () => {
  await using web = await origin();
  await using hopline = await reversing(web.at);
  using client = await hopline.client();
  const spelled = web.at.replace("127.0.0.1", "127.1");
  for (const host of [web.at, spelled, web.at]) {
    client.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nProxy-Authorization: Basic eDp5\r\n\r\n`);
    assertEquals((await client.message()).first, "HTTP/1.1 200 OK");
  }
  assertEquals(web.requests.map(({ field }) => field("host")), [web.at, spelled, web.at]);
  assertEquals(web.requests.flatMap(({ all }) => all("proxy-authorization")), []);
});

const refused: [name: string, request: string, status: number][] = [
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["no Host beside a URL", "GET http://127.0.0.1:2/ HTTP/1.1\r\n\r\n", 400],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400],
  ["a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
  ["a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400],
  ["a Host with a colon behind its port", "GET / HTTP/1.1\r\nHost: 127.0.0.1:1:\r\n\r\n", 400],
  ["a Host that only IDNA makes a site of", "GET / HTTP/1.1\r\nHost: \xb927.0.0.1:1\r\n\r\n", 400],
  ["a URL with a user", "GET http://u@127.0.0.1:2/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target that is neither", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a site that no route names", "GET / HTTP/1.1\r\nHost: 127.0.0.1:2\r\n\r\n", 421],
  ["a URL that no route names", "GET http://127.0.0.1:2/ HTTP/1.1\r\nHost: a\r\n\r\n", 421],
  ["a site that a route rejects", "GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 421],
  ["CONNECT", "CONNECT 127.0.0.1:2 HTTP/1.1\r\nHost: 127.0.0.1:2\r\n\r\n", 501],
];
for (const [name, request, status] of refused) {
  test(`${name}: ${status}`, async () => {
    await using web = await origin();
    await using hopline = await reversing(web.at);
    using client = await hopline.client();
    client.send(request);
    assertMatch((await client.message()).first, new RegExp(`^HTTP/1\\.1 ${status} `));
    assertEquals(web.talks.length, 0);
  });
}

test("a route for everything names nothing", async () => {
  await using web = await origin();
  for (
    const route of [{ via: "direct" }, { to: ["*"], via: "direct" }, { to: ["*:1-65535"], via: "direct" }]
  ) {
    await using hopline = await reversing("nobody.example", [route]);
    using client = await hopline.client();
    client.send(`GET / HTTP/1.1\r\nHost: ${web.at}\r\n\r\n`);
    assertEquals((await client.message()).first, "HTTP/1.1 421 Misdirected Request");
    const { error } = await hopline.logged("tunnel.failed");
    assertEquals([error.code, error.hop], ["denied", 0]);
  }
  assertEquals(web.talks.length, 0);
});

test("other protocols are not spoken", async () => {
  await using hopline = await reversing("a.example");
  using client = await hopline.client();
  client.send("\x05\x01\x00");
  assertEquals(await client.rest(), "\x05\xff");
});

test("WebSocket goes through", async () => {
  await using web = await server(async (talk) => {
    await talk.message();
    talk.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    talk.send(await talk.read(4));
  });
  await using hopline = await reversing(web.at);
  using client = await hopline.client();
  client.send(`GET / HTTP/1.1\r\nHost: ${web.at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
  assertMatch((await client.message()).first, / 101 /);
  client.send("ping");
  assertEquals(new TextDecoder().decode(await client.read(4)), "ping");
});

test("HTTP/2 goes by :authority, http and https alike, and CONNECT is refused", async () => {
  await using web = await origin(() => ok());
  await using hopline = await reversing(web.at);
  const session = http2.connect(`http://${hopline.at.hostname}:${hopline.at.port}`);
  try {
    const ask = (fields: Record<string, string>) =>
      new Promise((resolve, reject) => {
        const stream = session.request(fields);
        stream.on("response", (headers) => resolve(headers[":status"]));
        stream.on("error", reject);
        stream.resume();
      });
    for (const scheme of ["http", "https"]) {
      assertEquals(await ask({ ":scheme": scheme, ":authority": web.at, ":path": "/" }), 200);
    }
    assertEquals(await ask({ ":scheme": "http", ":authority": "127.0.0.1:2", ":path": "/" }), 421);
    assertEquals(await ask({ ":method": "CONNECT", ":authority": web.at }), 501);
  } finally {
    session.destroy();
  }
  assertEquals(web.requests.map(({ field }) => field("host")), [web.at, web.at]);
});

const routes: ConfigInput["routes"] = [{ to: ["app.example"], via: "direct" }];
const users = [{ username: "alice", password: "s3cret" }];
const wrong: [name: string, config: ConfigInput, message: RegExp][] = [
  ["no routes", { listeners: ["127.0.0.1:0?reverse=true"] }, /there are no `routes`/],
  ["users", { listeners: [{ address: "127.0.0.1:0", reverse: true, users }], routes }, /leave `users` out/],
  ["SOCKS", { listeners: ["socks5://127.0.0.1:0?reverse=true"], routes }, /speaks HTTP alone/],
  ["a target", { listeners: ["tcp://127.0.0.1:0/a:1?reverse=true"], routes }, /leave `target` out/],
];
for (const [name, config, message] of wrong) {
  test(`a configuration with ${name} is refused`, async () => {
    const error = await assertRejects(() => proxy(config), ConfigError);
    assertMatch(error.message, message);
  });
}

test("off the loopback it is no open proxy, and need not say that it is open", async () => {
  await using web = await origin();
  await using hopline = await proxy({
    listeners: ["http://0.0.0.0:0?reverse=true"],
    routes: [{ to: [web.at], via: "direct" }],
  });
  using client = await hopline.client();
  client.send(`GET / HTTP/1.1\r\nHost: ${web.at}\r\n\r\n`);
  assertEquals((await client.message()).text, "ok");
});
