/**
 * A new configuration while the server runs: unchanged listeners keep their sockets, live tunnels go on as they are,
 * and when a port can't be had nothing changes.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { after, before, test } from "node:test";
import { type ConfigInput, ListenError, type Server } from "../../mod.ts";
import { fromUtf8 } from "../support/bytes.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { freePort } from "../support/temporary.ts";
import { http, httpAnswer, socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

const replace = async (server: Server, config: ConfigInput) => await server.replace(config);

async function tunnel(at: { hostname: string; port: number }): Promise<Wire> {
  const wire = await Wire.to(at);
  wire.send(socks5.ask(echo), "early");
  assertEquals(await socks5.answer(wire), socks5.success);
  assertEquals(fromUtf8(await wire.read(5)), "early");
  return wire;
}

async function stillEchoes(wire: Wire): Promise<void> {
  wire.send("again");
  assertEquals(fromUtf8(await wire.read(5)), "again");
}

test("an unchanged listener keeps its socket, and a changed chain is for new connections", async () => {
  await using hop = await serving();
  const listeners = [`127.0.0.1:${await freePort()}`, "127.0.0.1:0"];
  await using house = await serving({ listeners });
  const addresses = house.server.addresses;
  using before = await tunnel(house.at);
  await replace(house.server, {
    listeners,
    hops: { exit: `socks5://127.0.0.1:${hop.at.port}` },
    chains: { out: ["exit"] },
  });
  assertEquals(house.server.addresses, addresses);
  assertEquals(house.events.filter(({ event }) => event === "listener.ready").length, 2);
  using wire = await tunnel(house.at);
  wire.end();
  assertEquals((await hop.logged("tunnel.closed")).fields.target, echo.address);
  await stillEchoes(before);
  before.end();
  const vias = [await house.logged("tunnel.closed"), await house.logged("tunnel.closed", 2)];
  assertEquals(vias.map(({ fields }) => fields.via), [["exit"], []]);
});

test("listeners come and go; the tunnels of one that goes live on", async () => {
  const [first, second] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  await using house = await serving({ listeners: [first] });
  using wire = await tunnel(house.at);
  await replace(house.server, { listeners: [second] });
  await assertRejects(() => Wire.to(house.at));
  const [at] = house.server.addresses;
  assertEquals(`${at.hostname}:${at.port}`, second);
  (await tunnel(at))[Symbol.dispose]();
  await stillEchoes(wire);
  assertEquals((await house.logged("listener.ready", 2)).fields.listener, second);
});

test("what a listener speaks and who may use it changes in place", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  await using house = await serving({ listeners: [address] });
  using live = await tunnel(house.at);
  const alice = { username: "alice", password: "secret" };
  await replace(house.server, { listeners: [{ address, protocols: ["http"], users: [alice] }] });
  using five = await Wire.to(house.at);
  five.send(socks5.ask(echo));
  assertEquals([...await five.rest()], [5, 0xff]);
  using web = await Wire.to(house.at);
  web.send(http.ask(echo, alice));
  assertEquals((await httpAnswer(web)).status, 200);
  await stillEchoes(live);
});

test("limits and timeouts change too", async () => {
  const listeners = [`127.0.0.1:${await freePort()}`];
  await using house = await serving({ listeners });
  using _live = await tunnel(house.at);
  await replace(house.server, { listeners, limits: { tunnels: 1 } });
  using wire = await Wire.to(house.at);
  wire.send(http.ask(echo));
  assertEquals((await httpAnswer(wire)).status, 503);
});

test("when a port is taken, nothing changes: no listener is lost or gained, and the old chain serves", async () => {
  await using taken = await scripted();
  const listeners = [`127.0.0.1:${await freePort()}`];
  const added = { hostname: "127.0.0.1", port: await freePort() };
  await using house = await serving({ listeners });
  using live = await tunnel(house.at);
  const wanted = [`127.0.0.1:${added.port}`, taken.address];
  await assertRejects(
    () => replace(house.server, { listeners: wanted, chains: { out: ["socks5://127.0.0.1:1"] } }),
    ListenError,
    `can't listen on ${taken.address}`,
  );
  assertEquals(house.server.addresses, [house.at]);
  // The port that could be had was given back.
  await assertRejects(() => Wire.to(added));
  (await tunnel(house.at))[Symbol.dispose]();
  await stillEchoes(live);
});

test("a server that cannot start leaves no port behind", async () => {
  await using taken = await scripted();
  const port = await freePort();
  await assertRejects(() => serving({ listeners: [`127.0.0.1:${port}`, taken.address] }), ListenError);
  await assertRejects(() => Wire.to({ hostname: "127.0.0.1", port }));
});

test("a server that is closed takes up no new configuration", async () => {
  const port = await freePort();
  await using house = await serving();
  await house.server.close(0);
  const late = replace(house.server, { listeners: [`127.0.0.1:${port}`] });
  await assertRejects(() => late, ListenError, "closed");
  await assertRejects(() => Wire.to({ hostname: "127.0.0.1", port }));
});

test("a listener moves between one address and all of them on the same port", async () => {
  const port = await freePort();
  const forward = (host: string) => `tcp://${host}:${port}/${echo.address}?open=true`;
  await using house = await serving({ listeners: [forward("127.0.0.1")] });
  using first = await Wire.to({ hostname: "127.0.0.1", port });
  await stillEchoes(first);
  for (const host of ["0.0.0.0", "127.0.0.1", "0.0.0.0"]) {
    await replace(house.server, { listeners: [forward(host)] });
    assertEquals(house.server.addresses, [{ hostname: host, port }]);
    using wire = await Wire.to({ hostname: "127.0.0.1", port });
    await stillEchoes(wire);
  }
  await stillEchoes(first);
});

test("a listener that made room for one that can't be had takes its place again", async () => {
  const port = await freePort();
  await using other = await serving();
  await using house = await serving({ listeners: [`127.0.0.1:${port}`] });
  using first = await tunnel(house.at);
  await assertRejects(
    () => replace(house.server, { listeners: [`0.0.0.0:${port}?open=true`, `127.0.0.1:${other.at.port}`] }),
    ListenError,
    `can't listen on 127.0.0.1:${other.at.port}`,
  );
  assertEquals(house.server.addresses, [{ hostname: "127.0.0.1", port }]);
  (await tunnel(house.at))[Symbol.dispose]();
  await stillEchoes(first);
});
