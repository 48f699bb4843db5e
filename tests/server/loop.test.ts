/**
 * A chain that leads back to its own listener is refused; nothing spins, and the listener serves on.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { test } from "node:test";
import { command, root } from "../support/hopline.ts";
import { must } from "../support/process.ts";
import { freePort } from "../support/temporary.ts";
import { rest } from "../support/traffic.ts";
import { clients, http, httpAnswer, socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const runtime = "Bun" in globalThis ? [command[0]] : [command[0], "run", "-A", "--no-prompt"];
const target = { hostname: "127.0.0.1", port: 9 };

for (const scheme of ["http", "socks5", "socks4"]) {
  test(`a chain to its own listener by ${scheme} is found, once for each client`, async () => {
    const port = await freePort();
    await using house = await serving({
      listeners: [`127.0.0.1:${port}`],
      chains: { out: [`${scheme}://127.0.0.1:${port}`] },
    });
    for (const client of clients) {
      using wire = await Wire.to(house.at);
      wire.send(client.ask(target));
      assertEquals(await client.answer(wire) === client.success, false);
      wire.end();
      await wire.ending();
    }
    const loops = () => house.events.filter(({ fields }) => fields.error?.code === "loop");
    await house.logged("tunnel.failed", 2 * clients.length);
    await rest(300);
    assertEquals(loops().filter(({ fields }) => fields.error.hop === 0).length, clients.length);
    // The client's own connection and the one that came back: no more.
    const ids = new Set(house.events.map(({ fields }) => fields.id).filter((id) => id !== undefined));
    assertEquals(ids.size, 2 * clients.length);
    const [{ fields }] = loops();
    assertMatch(fields.error.message, /leads back to its own listener/);
  });
}

test("a loop is found on a listener for every address, by IPv4 and by IPv6", async () => {
  for (const hostname of ["127.0.0.1", "[::1]", "localhost"]) {
    const port = await freePort();
    await using house = await serving({
      listeners: [`:${port}?open=true`],
      chains: { out: [`http://${hostname}:${port}`] },
    });
    using wire = await Wire.to({ hostname: "127.0.0.1", port });
    wire.send(http.ask(target));
    assertEquals((await httpAnswer(wire)).status, 508);
    assertEquals((await house.logged("tunnel.failed")).fields.error.code, "loop");
  }
});

test("an HTTP client in a loop through an HTTP hop gets 508", async () => {
  const port = await freePort();
  await using house = await serving({
    listeners: [`127.0.0.1:${port}`],
    chains: { out: [`http://127.0.0.1:${port}`] },
  });
  using wire = await Wire.to(house.at);
  wire.send(http.ask(target));
  const { status, head } = await httpAnswer(wire);
  assertEquals(status, 508);
  assertMatch(head, /^proxy-status: hopline; error=proxy_loop_detected/im);
});

test("a port forward to itself and a request for the listener's own port are refused", async () => {
  const port = await freePort();
  await using forward = await serving({ listeners: [`tcp://127.0.0.1:${port}/127.0.0.1:${port}`] });
  using lost = await Wire.to(forward.at);
  lost.send("hello");
  await lost.ending();
  assertEquals((await forward.logged("tunnel.failed")).fields.error.code, "loop");
  await rest(300);
  const ids = new Set(forward.events.map(({ fields }) => fields.id).filter((id) => id !== undefined));
  assertEquals(ids.size <= 4, true, `${ids.size} connections`);

  await using house = await serving();
  using wire = await Wire.to(house.at);
  // The tunnel to the proxy itself stands, and a second one inside it is a loop.
  wire.send(socks5.ask(house.at));
  assertEquals(await socks5.answer(wire), 0);
  wire.send(http.ask(target));
  assertEquals((await httpAnswer(wire)).status, 508);
});

test("a client that has the port of one of our own connections is no loop", async () => {
  // Few ports, so that clients and our own connections have them in common; they differ in where they lead.
  const ports = "ip link set lo up && echo 40000 40063 > /proc/sys/net/ipv4/ip_local_port_range";
  const program = [...runtime, join(root, "tests", "server", "loop_ports.ts")].map((word) => `'${word}'`)
    .join(" ");
  const { stdout } = await must("unshare", ["-n", "sh", "-c", `${ports} && exec ${program}`], { cwd: root });
  assertEquals(String(stdout), "0 refused\n");
});

test("a server that is another one's hop is no loop", async () => {
  await using far = await serving();
  await using near = await serving({ chains: { out: [`socks5://127.0.0.1:${far.at.port}`] } });
  await using origin = await serving();
  using wire = await Wire.to(near.at);
  wire.send(http.ask(origin.at));
  assertEquals((await httpAnswer(wire)).status, 200);
});
