/**
 * Groups on a running server, over real sockets: members that refuse, stall, reset, lie, forbid, dawdle and flap, and
 * what the client saw of it.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { after, before, test } from "node:test";
import type { ConfigInput } from "../../mod.ts";
import type { Endpoint } from "../../src/core/conn.ts";
import { fromUtf8 } from "../support/bytes.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { eventually } from "../support/process.ts";
import { freePort } from "../support/temporary.ts";
import { type Client, clients, http, httpAnswer, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { type Scripted, scripted, Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
let good: Serving;
before(async () => {
  echo = stack.use(await echoOrigin());
  good = stack.use(await serving());
});
after(() => stack.disposeAsync());

/** A tunnel that has sent a word and got it back; or the code of the refusal. */
async function tunnel(
  at: Endpoint,
  client: Client = socks5,
  target: Endpoint = echo,
): Promise<Wire | number> {
  const wire = await Wire.to(at);
  wire.send(client.ask(target), "hello");
  const code = await client.answer(wire);
  if (code === client.success && fromUtf8(await wire.read(5)) === "hello") return wire;
  wire[Symbol.dispose]();
  return code;
}

/** Whether a tunnel echoes; it is over then. */
async function echoes(at: Endpoint, client?: Client, target?: Endpoint): Promise<true | number> {
  const wire = await tunnel(at, client, target);
  if (typeof wire === "number") return wire;
  wire.end();
  await wire.ending();
  return true;
}

/** The names of the hops that each tunnel took, in the order in which they ended. */
const vias = ({ events }: Serving) =>
  events.filter(({ event }) => event.startsWith("tunnel.")).map(({ fields }) => fields.via.join(">"));

/** What was reported of members: `down bad`. */
const reports = ({ events }: Serving) =>
  events.filter(({ event }) => event.startsWith("member."))
    .map(({ event, fields }) => `${event.slice(7)} ${fields.member}`);

function config(
  bad: string,
  group: (members: string[]) => unknown = (failover) => ({ failover }),
): ConfigInput {
  return {
    hops: { bad, good: `socks5://127.0.0.1:${good.at.port}` },
    chains: { out: [group(["bad", "good"])] },
  } as ConfigInput;
}

const faults: [what: string, scheme: string, script: ((wire: Wire) => unknown) | null, reason: RegExp][] = [
  ["refuses connections", "socks5", null, /^connect: .*refused.* \[refused\]$/],
  ["resets", "http", (wire) => wire.socket.destroy(), /\[closed\]$/],
  ["closes without a word", "socks5", (wire) => wire.end(), /^auth: .*\[closed\]$/],
  ["is silent", "socks5", () => {}, /^auth: timed out after 300 ms .*\[timeout\]$/],
  ["is silent when asked", "http", () => {}, /^request: .*timed out after 300 ms .*\[timeout\]$/],
  ["sends garbage", "socks5", (wire) => wire.send("SSH-2.0-x\r\n"), /^auth: .*version.*\[protocol\]$/],
  ["sends garbage for HTTP", "http", (wire) => wire.send("\0\x01\x02\r\n\r\n"), /^request: .*\[protocol\]$/],
  [
    "answers 403",
    "http",
    (wire) => wire.send("HTTP/1.1 403 Forbidden\r\n\r\n"),
    /^request: .*403 Forbidden \[denied\]$/,
  ],
  [
    "answers 407",
    "http",
    (wire) =>
      wire.send('HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'),
    /^auth: .*407.*\[auth\]$/,
  ],
  [
    "answers 502",
    "http",
    (wire) => wire.send("HTTP/1.1 502 Bad Gateway\r\n\r\n"),
    /502 Bad Gateway \[failed\]$/,
  ],
  ["speaks no TLS", "socks5+tls", (wire) => wire.send("HTTP/1.1 400 Bad\r\n\r\n"), /^tls: .*\[tls\]$/],
];
for (const [what, scheme, script, reason] of faults) {
  test(`when the first member ${what}, no client sees it, and the second serves until the first has rested`, async () => {
    await using bad = script === null ? undefined : await scripted(async (wire) => {
      await wire.read(1);
      await script(wire);
    });
    const port = bad?.port ?? await freePort();
    await using house = await serving(config(`${scheme}://127.0.0.1:${port}?timeout=300ms&insecure=true`
      .replace(scheme.endsWith("tls") ? "" : "&insecure=true", "")));
    assertEquals(await echoes(house.at), true);
    const { level, fields } = await house.logged("member.down");
    assertEquals([level, fields.group, fields.member], ["warn", "failover(bad, good)", "bad"]);
    assertMatch(fields.reason, reason);
    assert(fields.nextTryMs > 400 && fields.nextTryMs <= 1000, `${fields.nextTryMs} ms`);
    for (const client of clients) assertEquals(await echoes(house.at, client), true);
    await house.logged("tunnel.closed", 4);
    assertEquals(vias(house), Array(4).fill("good"));
    for (const wire of bad?.accepted ?? []) await wire.ending();
  });
}

test("a member that takes connections and says nothing costs a client seconds, not its patience", async () => {
  await using bad = await scripted();
  await using house = await serving(config(`http://${bad.address}`));
  assertEquals(await echoes(house.at, http), true);
  assertMatch((await house.logged("member.down")).fields.reason, /no answer within 2500 ms/);
  await bad.accepted[0].ending();
  await house.logged("tunnel.closed");
  assertEquals(vias(house), ["good"]);
});

test("a slow member that answers in time is no bad one", async () => {
  await using slow = await relaying(async () => await new Promise((resolve) => setTimeout(resolve, 300)));
  await using house = await serving(config(`socks5://${slow.address}`));
  assertEquals([await echoes(house.at), await echoes(house.at)], [true, true]);
  await house.logged("tunnel.closed", 2);
  assertEquals([vias(house), reports(house)], [["bad", "bad"], []]);
});

/** A hop in front of the good one, that a test may hinder. */
async function relaying(hinder: (nth: number, wire: Wire) => Promise<unknown> | void): Promise<Scripted> {
  let count = 0;
  return await scripted(async (wire) => {
    await hinder(count++, wire);
    const onward = await Wire.to(good.at);
    wire.socket.pipe(onward.socket);
    onward.socket.pipe(wire.socket);
    wire.send(onward.received);
    onward.send(wire.received);
  });
}

test("a member that flaps is seen by no client, and used while it works", async () => {
  await using flapping = await relaying((nth, wire) => {
    if (nth % 2 === 1) wire.socket.destroy();
  });
  await using house = await serving(config(`socks5://${flapping.address}`, (roundRobin) => ({ roundRobin })));
  for (let i = 0; i < 20; i++) assertEquals(await echoes(house.at), true);
  // It comes back: what one failure cost it is over within the second.
  await eventually(() => `up again: ${reports(house)}`, async () => {
    assertEquals(await echoes(house.at), true);
    return reports(house).includes("up bad") || undefined;
  });
  assertEquals(reports(house).slice(0, 2), ["down bad", "up bad"]);
  assert(vias(house).includes("bad") && vias(house).includes("good"));
});

test("what a member says of the target is the answer, and no other is asked", async () => {
  await using first = await serving();
  await using second = await serving();
  const closed = { hostname: "127.0.0.1", port: await freePort() };
  for (const scheme of ["socks5", "http"]) {
    await using house = await serving({
      chains: {
        out: [{
          failover: [`${scheme}://127.0.0.1:${first.at.port}`, `${scheme}://127.0.0.1:${second.at.port}`],
        }],
      },
    });
    assertEquals([await echoes(house.at, socks5, closed), await echoes(house.at, http, closed)], [5, 502]);
    await house.logged("tunnel.failed", 2);
    assertEquals(reports(house), []);
    assertEquals(vias(house), Array(2).fill(`${scheme}://127.0.0.1:${first.at.port}`));
  }
  assertEquals([vias(first).length, second.events.length], [4, 1]);
});

test("when nobody can, the client is told so in its own words, by hop and stage", async () => {
  await using forbidding = await scripted(async (wire) => {
    await wire.readThrough("\r\n\r\n");
    wire.send("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  const refusing = await freePort();
  await using near = await serving();
  await using house = await serving({
    hops: {
      near: `socks5://127.0.0.1:${near.at.port}`,
      one: `socks5://127.0.0.1:${refusing}`,
      two: `http://${forbidding.address}`,
    },
    chains: { out: ["near", { failover: ["one", "two"] }] },
  });
  using wire = await Wire.to(house.at);
  wire.send(http.ask(echo));
  const { status, body } = await httpAnswer(wire);
  assertEquals(status, 403);
  assertMatch(body, new RegExp(`^hop 2, two \\(http ${forbidding.address}\\), request: .*403`));
  const { fields } = await house.logged("tunnel.failed");
  assertEquals([fields.via, fields.error.hop, fields.error.code], [["near", "two"], 2, "denied"]);
  // The hop before the group told of the first member what only it could know.
  assertMatch((await house.logged("member.down")).fields.reason, /^request: .*asked for .*refused/);
  assertEquals(await echoes(house.at), 2);
});

test("a group stands anywhere: between hops, within another, in a route, and beside no hop at all", async () => {
  await using near = await serving();
  await using exit = await serving();
  const port = await freePort();
  await using house = await serving({
    hops: {
      near: `socks5://127.0.0.1:${near.at.port}`,
      bad: `http://127.0.0.1:${port}`,
      good: `http://127.0.0.1:${good.at.port}`,
      exit: `socks5://127.0.0.1:${exit.at.port}`,
    },
    chains: { long: ["near", "bad", "exit"] },
    routes: [
      { to: ["localhost"], via: ["near", { failover: ["bad", { roundRobin: ["bad", "good"] }] }, "exit"] },
      { protocols: ["http"], via: { failover: ["long", "direct"] } },
      { via: { failover: [["near", "exit"]] } },
    ],
  });
  const named = { hostname: "localhost", port: echo.port };
  assertEquals(await echoes(house.at, socks5, named), true);
  assertEquals(await echoes(house.at, http), true);
  assertEquals(await echoes(house.at), true);
  await house.logged("tunnel.closed", 3);
  assertEquals(vias(house).sort(), ["", "near>exit", "near>good>exit"]);
});

test("the fewest tunnels are those that are open", async () => {
  await using other = await serving();
  await using house = await serving(
    config(`socks5://127.0.0.1:${other.at.port}`, (leastTunnels) => ({ leastTunnels })),
  );
  const open: Wire[] = [];
  for (let i = 0; i < 4; i++) open.push(await tunnel(house.at) as Wire);
  const [first] = open;
  for (const wire of [first, open[2]]) wire.end();
  await house.logged("tunnel.closed", 2);
  const [closed] = new Set(vias(house));
  assertEquals(vias(house), [closed, closed], "they took turns");
  const more = [await tunnel(house.at) as Wire, await tunnel(house.at) as Wire];
  for (const wire of more) wire.end();
  await house.logged("tunnel.closed", 4);
  assertEquals(vias(house), Array(4).fill(closed));
  for (const wire of open) wire[Symbol.dispose]();
});

test("what is known of a member outlives a new configuration in which it is the same", async () => {
  await using other = await serving();
  const port = await freePort();
  const listeners = [`127.0.0.1:${port}`];
  const parts = config(`socks5://127.0.0.1:${other.at.port}`, (leastTunnels) => ({ leastTunnels }));
  await using house = await serving({ ...parts, listeners });
  const open = [await tunnel(house.at) as Wire, await tunnel(house.at) as Wire];
  open[0].end();
  await house.logged("tunnel.closed");
  const [left] = vias(house);
  await house.server.replace({ ...parts, listeners, log: { level: "warn" } });
  for (let i = 2; i <= 4; i++) {
    assertEquals(await echoes(house.at), true);
    await house.logged("tunnel.closed", i);
  }
  assertEquals(vias(house), Array(4).fill(left), "the other one still has a tunnel");
  open[1][Symbol.dispose]();
});

test("checks find out before clients do, that a member is gone and that it is back; they end with their configuration", async () => {
  let working = true;
  await using member = await relaying((_nth, wire) => void (working || wire.socket.destroy()));
  const listeners = [`127.0.0.1:${await freePort()}`];
  const parts = config(
    `socks5://${member.address}`,
    (failover) => ({ failover, check: { target: echo.address, every: "50ms" } }),
  );
  await using house = await serving({ ...parts, listeners });
  await eventually(() => "two checks", () => member.accepted.length >= 2 || undefined);
  working = false;
  const { fields } = await house.logged("member.down");
  assertEquals(fields.member, "bad");
  assertMatch(fields.reason, /^check: auth: .*\[closed\]$/);
  const before = member.accepted.length;
  assertEquals(await echoes(house.at), true);
  await house.logged("tunnel.closed");
  assertEquals(vias(house), ["good"]);
  working = true;
  const up = await house.logged("member.up");
  assertEquals([up.level, up.fields], ["info", { group: "failover(bad, good)", member: "bad" }]);
  assert(member.accepted.length > before);
  assertEquals(await echoes(house.at), true);
  await house.logged("tunnel.closed", 2);
  assertEquals(vias(house), ["good", "bad"]);
  await house.server.replace({ listeners });
  const after = member.accepted.length;
  await new Promise((resolve) => setTimeout(resolve, 300));
  // One may have been on its way to us.
  assert(member.accepted.length <= after + 1, `${member.accepted.length - after} more`);
});

test("a configuration that can't be taken up leaves no check behind", async () => {
  await using taken = await scripted();
  await using member = await relaying(() => {});
  await using house = await serving();
  const parts = config(
    `socks5://${member.address}`,
    (failover) => ({ failover, check: { target: echo.address, every: "50ms" } }),
  );
  await assertRejects(() => house.server.replace({ ...parts, listeners: [taken.address] }));
  const { length } = member.accepted;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert(member.accepted.length <= length + 1, `${member.accepted.length - length} more`);
});
