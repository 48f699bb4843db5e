/**
 * Port forwards to several servers.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import type { ConfigInput } from "../../mod.ts";
import { ConfigError } from "../../mod.ts";
import { validateConfig } from "../../src/config/load.ts";
import { fromUtf8 } from "../support/bytes.ts";
import { rejectionOf } from "../support/errors.ts";
import { freePort } from "../support/temporary.ts";
import { type Serving, serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const named = (name: string) =>
  scripted((wire) => {
    wire.send(name);
    wire.end();
  });

async function answer({ at }: Serving): Promise<string> {
  using wire = await Wire.to(at);
  const text = fromUtf8(await wire.rest());
  wire.end();
  return text;
}

/** A configuration with a port forward to each of these. */
function to(...targets: unknown[]): ConfigInput {
  return {
    listeners: targets.map((target) => ({ address: "127.0.0.1:0", target })),
  } as unknown as ConfigInput;
}

test("servers take turns, one that is gone is passed over, and the log has the one that served", async () => {
  await using one = await named("one");
  await using two = await named("two");
  const gone = `127.0.0.1:${await freePort()}`;
  await using house = await serving(to({ roundRobin: [one.address, gone, { address: two.address }] }));
  const answers: string[] = [];
  for (let i = 1; i <= 6; i++) {
    answers.push(await answer(house));
    await house.logged("tunnel.closed", i);
  }
  assertEquals(answers.slice(0, 3), ["one", "two", "two"]);
  const targets = house.events.filter(({ event }) => event === "tunnel.closed").map(({ fields }) =>
    fields.target
  );
  const addresses: Record<string, string> = { one: one.address, two: two.address };
  assertEquals(targets, answers.map((name) => addresses[name]));
  const { fields } = await house.logged("member.down");
  assertEquals([fields.group, fields.member], [`roundRobin(${one.address}, ${gone}, ${two.address})`, gone]);
  assertMatch(fields.reason, /^connect: connection refused/);
});

test("servers are reached by a chain; that one of them is gone is told by the hop", async () => {
  await using hop = await serving();
  await using two = await named("two");
  const gone = `127.0.0.1:${await freePort()}`;
  await using house = await serving({
    ...to({ failover: [gone, two.address] }),
    chains: { out: [{ failover: [`socks5://127.0.0.1:${hop.at.port}`, "direct"] }] },
  });
  assertEquals([await answer(house), await answer(house)], ["two", "two"]);
  const { fields } = await house.logged("tunnel.closed");
  assertEquals([fields.target, fields.via], [two.address, [`socks5://127.0.0.1:${hop.at.port}`]]);
  const downs = house.events.filter(({ event }) => event === "member.down").map(({ fields }) =>
    fields.member
  );
  assertEquals(downs, [gone]);
});

test("what a group of targets may hold", async () => {
  const { listeners } = await validateConfig(
    to({ random: ["a:1", { via: { address: "b:2", proxyProtocol: 2 }, weight: 3 }] }),
  );
  assertEquals(listeners[0].target, {
    kind: "random",
    members: [
      { address: { hostname: "a", port: 1 }, weight: 1 },
      { address: { hostname: "b", port: 2 }, proxyProtocol: 2, weight: 3 },
    ],
  });
  const wrong = to({ failover: ["a"] }, { failover: ["a:1"], check: {} }, { fastest: [] }, { x: 1 });
  const error = await rejectionOf(validateConfig(wrong));
  if (!(error instanceof ConfigError)) throw error;
  assertEquals(error.problems.map(({ path, message }) => `${path}: ${message}`), [
    "listeners[0].target.failover[0]: expected host:port, found no port",
    "listeners[1].target.check: unknown key `check`; known are `failover`, `roundRobin`, `random`, `leastTunnels`, `fastest`",
    "listeners[2].target.fastest: expected at least 1 entry, found 0",
    "listeners[3].target.address: is missing; expected a string",
    "listeners[3].target.x: unknown key `x`; known are `address`, `tls`, `proxyProtocol`",
  ]);
});
