/**
 * Names on a running server: who looks which of them up, and that no name leaks that a hop should resolve.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { after, before, test } from "node:test";
import { fromUtf8 } from "../support/bytes.ts";
import { nameServer, type TestNameServer } from "../support/name_server.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { clients } from "./clients.ts";
import { serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
let names: TestNameServer;
before(async () => {
  echo = stack.use(await echoOrigin());
  names = stack.use(
    await nameServer({ "echo.test A": { data: ["127.0.0.1"] }, "echo.test AAAA": { data: [] } }),
  );
});
after(() => stack.disposeAsync());

const servers = () => [`127.0.0.1:${names.port}`];
const target = () => ({ hostname: "echo.test", port: echo.port });

for (const [protocol, client] of Object.entries(clients)) {
  test(`a name that a ${protocol} client sends is looked up by the name server when it is reached directly`, async () => {
    names.asked.length = 0;
    await using house = await serving({ names: { servers: servers() } });
    using wire = await Wire.to(house.at);
    wire.send(client.ask(target()));
    assertEquals(await client.answer(wire), client.success);
    wire.send("hello");
    assertEquals(fromUtf8(await wire.read(5)), "hello");
    assertEquals(names.asked.toSorted(), ["udp echo.test A", "udp echo.test AAAA"]);
  });

  test(`a name that a ${protocol} client sends travels to the hop, and nobody here is asked for it`, async () => {
    await using hop = await serving({ names: { hosts: { "echo.test": "127.0.0.1" } } });
    for (const scheme of ["socks5", "socks4a", "http"]) {
      names.asked.length = 0;
      await using house = await serving({
        chains: { out: [`${scheme}://127.0.0.1:${hop.at.port}`] },
        names: { servers: servers() },
      });
      using wire = await Wire.to(house.at);
      wire.send(client.ask(target()));
      assertEquals(await client.answer(wire), client.success);
      assertEquals(names.asked, []);
    }
  });
}

test("a hop that says resolve=local is given addresses that the name server knows", async () => {
  names.asked.length = 0;
  await using hop = await serving();
  await using house = await serving({
    chains: { out: [`socks5://127.0.0.1:${hop.at.port}?resolve=local`] },
    names: { servers: servers() },
  });
  const [client] = Object.values(clients);
  using wire = await Wire.to(house.at);
  wire.send(client.ask(target()));
  assertEquals(await client.answer(wire), client.success);
  wire.end();
  assertEquals((await hop.logged("tunnel.closed")).fields.target, `127.0.0.1:${echo.port}`);
  assertEquals(names.asked, ["udp echo.test A"]);
});
