/**
 * Access rules on a running server: who is kept from what, and what each client is told.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { origin } from "../http/talk.ts";
import { proxy } from "../http/proxying.ts";
import { fromUtf8, toHex } from "../support/bytes.ts";
import { clientHello, serverName } from "../support/client_hello.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { type Client, clients, http, httpAnswer, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

const refused = { socks5: 2, socks4: 91, http: 403 };
const everywhere = "0.0.0.0:0?open=true";

async function ask(house: Serving, client: Client, hostname: string, listener = 0): Promise<number> {
  const { port } = house.server.addresses[listener];
  using wire = await Wire.to({ hostname: "127.0.0.1", port });
  wire.send(client.ask({ hostname, port: echo.port }));
  return await client.answer(wire);
}

for (const client of clients) {
  test(`clients of a listener off the loopback are kept from this machine, by ${client.protocol}`, async () => {
    await using house = await serving({ listeners: [everywhere, "127.0.0.1:0"] });
    const names = ["127.0.0.1", "localhost", "LOCALHOST.", "0x7f000001", "0x7f.1"];
    for (const [index, name] of names.entries()) {
      assertEquals(await ask(house, client, name), refused[client.protocol], name);
      const { error } = (await house.logged("tunnel.failed", index + 1)).fields;
      assertEquals([error.code, error.hop, error.label, error.stage], ["denied", 0, "hopline", "request"]);
      assertMatch(error.message, /^(127\.0\.0\.1|::1) is a loopback address \(access\.private\)$/);
    }
    assertEquals(await ask(house, client, "127.0.0.1", 1), client.success);
    assertEquals(await ask(house, client, "localhost", 1), client.success);
  });
}

test("nor does TLS that is passed on by name lead to this machine", async () => {
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", sni: { port: echo.port } }],
    access: { private: "deny" },
  });
  for (const [index, name] of ["localhost", "LOCALHOST", "localhost."].entries()) {
    using wire = await Wire.to(house.at);
    wire.send(clientHello(serverName(name)));
    assertEquals(toHex(await wire.rest()), "15 03 01 00 02 02 31", "the alert access_denied");
    const { error } = (await house.logged("tunnel.failed", index + 1)).fields;
    assertMatch(error.message, /is a loopback address \(access\.private\)$/);
  }
});

test("access.private says otherwise, for either", async () => {
  await using open = await serving({ listeners: [everywhere], access: { private: "allow" } });
  assertEquals(await ask(open, socks5, "127.0.0.1"), 0);
  await using closed = await serving({ access: { private: "deny" } });
  assertEquals(await ask(closed, socks5, "127.0.0.1"), 2);
});

test("access.deny is for every route, before anything is looked up", async () => {
  await using house = await serving({
    access: { deny: ["*.nowhere.test"] },
    chains: { out: ["socks5://127.0.0.1:1"] },
  });
  assertEquals(await ask(house, http, "a.nowhere.test"), 403);
  const { error } = (await house.logged("tunnel.failed")).fields;
  assertEquals(error.message, "a.nowhere.test is listed in access.deny");
  assertEquals(await ask(house, http, "b.elsewhere.test"), 502);
});

test("what the configuration itself names is nobody kept from: hops and targets", async () => {
  await using hop = await serving();
  await using house = await serving({
    listeners: [`tcp://0.0.0.0:0/${echo.address}?open=true`, everywhere],
    routes: [{ protocols: ["tcp"], via: "direct" }, { via: [`socks5://127.0.0.1:${hop.at.port}`] }],
    access: { deny: [echo.address] },
  });
  using wire = await Wire.to({ hostname: "127.0.0.1", port: house.at.port });
  wire.send("hello");
  assertEquals(fromUtf8(await wire.read(5)), "hello");
  assertEquals(await ask(house, socks5, "localhost", 1), 0, "the hop resolves, and decides");
});

test("a plain request is refused by 403, and the connection goes on", async () => {
  await using web = await origin();
  await using house = await proxy({ access: { deny: ["10.0.0.0/8"] } });
  using client = await house.client();
  client.send("GET http://10.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n");
  assertMatch((await client.message()).head, /^HTTP\/1\.1 403 /);
  client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  assertMatch((await client.message()).head, /^HTTP\/1\.1 200 /);
});

test("an IPv6 literal with a zone is no target", async () => {
  await using house = await serving({ listeners: [everywhere] });
  using wire = await Wire.to({ hostname: "127.0.0.1", port: house.at.port });
  wire.send("CONNECT [fe80::1%25lo]:80 HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals((await httpAnswer(wire)).status, 400);
});
