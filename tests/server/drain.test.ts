/**
 * Closing drains: nothing new is accepted, a live tunnel may finish, and what is left after the drain is cut.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { after, before, test } from "node:test";
import { fromUtf8 } from "../support/bytes.ts";
import { afterEndOrigin, echoOrigin, type Origin } from "../support/origins.ts";
import { eventually } from "../support/process.ts";
import { outcome } from "../support/traffic.ts";
import { clients, http, httpAnswer, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

async function tunnel(house: Serving, target = echo): Promise<Wire> {
  const wire = await Wire.to(house.at);
  wire.send(socks5.ask(target), "early");
  assertEquals(await socks5.answer(wire), socks5.success);
  return wire;
}

test("a live tunnel finishes, and then the server is closed", async () => {
  await using origin = await afterEndOrigin();
  await using house = await serving();
  using wire = await tunnel(house, origin);
  const closing = house.server.close(60_000);
  assertEquals(await outcome(closing, 200), "pending");
  await assertRejects(() => Wire.to(house.at), Error, "ECONNREFUSED");
  wire.send(" and late");
  wire.end();
  assertEquals(fromUtf8(await wire.rest()), "early and late");
  await closing;
  assertEquals((await house.logged("tunnel.closed")).fields.reason, undefined);
});

test("without a tunnel there is nothing to wait for, whoever is still thinking about a request", async () => {
  await using house = await serving({ timeouts: { handshake: "1h" } });
  using silent = await Wire.to(house.at);
  using greeting = await Wire.to(house.at);
  greeting.send("\x05\x01\x00");
  await greeting.read(2);
  await house.server.close(3_600_000);
  assertEquals([await silent.ending(), await greeting.ending()].length, 2);
});

test("the drain ends with the last tunnel, whoever is still thinking about a request", async () => {
  await using house = await serving({ timeouts: { handshake: "1h" } });
  using silent = await Wire.to(house.at);
  using wire = await tunnel(house);
  const closing = house.server.close(3_600_000);
  assertEquals(await outcome(closing, 100), "pending");
  wire.end();
  await closing;
  await silent.ending();
});

test("a client that was accepted before and asks during the drain is refused", async () => {
  await using house = await serving();
  using live = await tunnel(house);
  using waiting = new DisposableStack();
  const wires = await Promise.all(clients.map(() => Wire.to(house.at)));
  for (const wire of wires) waiting.use(wire);
  // All have been accepted when a later one is served.
  (await tunnel(house))[Symbol.dispose]();
  const closing = house.server.close(60_000);
  for (const [index, client] of clients.entries()) {
    const late = wires[index];
    late.send(client.ask(echo));
    assertEquals(await client.answer(late), { socks5: 2, socks4: 91, http: 503 }[client.protocol]);
    late.end();
  }
  const { fields } = await house.logged("tunnel.failed");
  assertMatch(fields.error.message, /stopping/);
  live.end();
  await closing;
});

test("a client that has been refused and does not leave is not waited for", async () => {
  await using house = await serving({ routes: [{ via: "reject" }] });
  using waiting = new DisposableStack();
  for (const client of clients) {
    const wire = waiting.use(await Wire.to(house.at));
    wire.send(client.ask(echo));
    await client.answer(wire);
  }
  using garbage = await Wire.to(house.at);
  garbage.send("CONNECT nowhere HTTP/1.1\r\n\r\n");
  assertEquals((await httpAnswer(garbage)).status, 400);
  assertEquals(await outcome(house.server.close(0), 3000), "value");
});

test("after the drain the rest is cut, tunnels and dials under way alike", async () => {
  await using hop = await scripted();
  await using stuck = await serving({ chains: { out: [`http://${hop.address}`] } });
  using dialling = await Wire.to(stuck.at);
  dialling.send(http.ask(echo));
  await eventually("the hop's client", () => hop.accepted[0]);
  await stuck.server.close(100);
  assertEquals((await httpAnswer(dialling)).status, 502);

  await using house = await serving();
  using wire = await tunnel(house);
  assertEquals(fromUtf8(await wire.read(5)), "early");
  await house.server.close(300);
  await wire.ending();
  assertMatch(String((await house.logged("tunnel.closed")).fields.reason), /the server is stopping/);
});

test("timeouts.drain is what close() waits unless it is told otherwise", async () => {
  await using house = await serving({ timeouts: { drain: "300ms" } });
  using wire = await tunnel(house);
  const from = performance.now();
  await house.server.close();
  assertEquals(performance.now() - from >= 290, true);
  await wire.ending();
});

test("closing twice is closing once", async () => {
  await using house = await serving();
  using wire = await tunnel(house);
  await Promise.all([house.server.close(0), house.server.close(0)]);
  await house.server.close(0);
  await wire.ending();
});
