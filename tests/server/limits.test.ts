/**
 * Limits: how many tunnels at a time, in all and for one client; a place that is given back can be had again.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { type Client, clients, http, httpAnswer } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

const refused = { socks5: 2, socks4: 91, http: 503 };

/** Asks for the echo server and answers the code of the reply. */
async function ask(house: Serving, client: Client, wires: DisposableStack): Promise<number> {
  const wire = wires.use(await Wire.to(house.at));
  wire.send(client.ask(echo), "early");
  return await client.answer(wire);
}

for (const key of ["tunnels", "tunnelsPerClient"] as const) {
  test(`limits.${key} refuses one tunnel too many in each protocol, and names the limit`, async () => {
    await using house = await serving({ limits: { [key]: 2 } });
    using wires = new DisposableStack();
    for (const client of clients.slice(0, 2)) assertEquals(await ask(house, client, wires), client.success);
    for (const [index, client] of clients.entries()) {
      assertEquals(await ask(house, client, wires), refused[client.protocol]);
      const { fields } = await house.logged("tunnel.failed", index + 1);
      assertEquals([fields.error.code, fields.error.hop, fields.error.label], ["limit", 0, "hopline"]);
      assertMatch(fields.error.message, new RegExp(`limits\\.${key}`));
    }
  });
}

test("a place that is given back can be had again, after successes and after failures", async () => {
  await using house = await serving({ limits: { tunnels: 1, tunnelsPerClient: 1 } });
  for (const [index, client] of [...clients, ...clients, ...clients].entries()) {
    using wires = new DisposableStack();
    assertEquals(await ask(house, client, wires), client.success);
    assertEquals(await ask(house, client, wires), refused[client.protocol]);
    wires.dispose();
    await house.logged("tunnel.closed", index + 1);
  }
});

test("a refusal takes no place", async () => {
  await using house = await serving({ limits: { tunnels: 1 } });
  for (let attempt = 0; attempt < 5; attempt++) {
    using wire = await Wire.to(house.at);
    wire.send(http.ask({ hostname: "127.0.0.1", port: 1 }));
    assertEquals((await httpAnswer(wire)).status, 502);
    wire.end();
    await house.logged("tunnel.failed", attempt + 1);
    await wire.ending();
  }
  using wires = new DisposableStack();
  assertEquals(await ask(house, http, wires), 200);
});

test("limits.headerBytes bounds what a handshake may take", async () => {
  await using house = await serving({ limits: { headerBytes: "1KiB" } });
  using wire = await Wire.to(house.at);
  wire.send(`CONNECT example.com:443 HTTP/1.1\r\nX: ${"x".repeat(1024)}\r\n\r\n`);
  assertEquals((await httpAnswer(wire)).status, 431);
});
