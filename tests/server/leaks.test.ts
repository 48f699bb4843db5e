/**
 * Nothing is left behind: no descriptor after hundreds of good and bad sessions, no connection of a client that left
 * during its dial.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { echoOrigin } from "../support/origins.ts";
import { eventually } from "../support/process.ts";
import { rest } from "../support/traffic.ts";
import { clients, http, socks4, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const descriptors = () => readdirSync("/proc/self/fd").length;
const closed = { hostname: "127.0.0.1", port: 1 };

test("300 mixed sessions leave no descriptor and no session behind", async () => {
  await using echo = await echoOrigin();
  await using liar = await scripted(async (wire) => {
    wire.send("SSH-2.0-x\r\n\r\n");
    await wire.ending();
    wire.end();
  });
  await using good = await serving();
  await using bad = await serving({ chains: { out: [`http://${liar.address}`] } });

  /** Every kind of session, one after the other. */
  const kinds: ((house: Serving) => Promise<void>)[] = [
    ...clients.map((client) => async () => {
      using wire = await Wire.to(good.at);
      wire.send(client.ask(echo), "early");
      assertEquals(await client.answer(wire), client.success);
      await wire.read(5);
      wire.end();
      await wire.ending();
    }),
    ...clients.map((client) => async () => {
      using wire = await Wire.to(good.at);
      wire.send(client.ask(closed));
      assertEquals(await client.answer(wire) === client.success, false);
    }),
    async () => {
      using wire = await Wire.to(bad.at);
      wire.send(http.ask(closed));
      assertEquals(await http.answer(wire), 502);
    },
    async () => {
      using wire = await Wire.to(good.at);
      wire.send("\x99garbage");
      await wire.ending();
    },
    async () => {
      // Gone in the middle of its request.
      using wire = await Wire.to(good.at);
      wire.send(socks5.ask(echo).subarray(0, 6));
    },
    async () => {
      // Reset in the middle of its tunnel.
      using wire = await Wire.to(good.at);
      wire.send(socks4.ask(echo), "early");
      await socks4.answer(wire);
      (wire.socket as unknown as { resetAndDestroy(): void }).resetAndDestroy();
      await wire.ending();
    },
  ];
  const round = () => Promise.all(kinds.map((kind) => kind(good)));
  await round(); // what runtimes open once and keep
  await settled([good, bad]);
  await rest(1200);
  const before = descriptors();
  for (let n = 0; n < 30; n++) await round();
  await eventually(
    () => `${before} descriptors; there are ${descriptors()}`,
    () => descriptors() <= before + 3 || undefined,
  );
});

/** Waits until every session that was begun has been logged. */
async function settled(houses: readonly Serving[]): Promise<void> {
  for (const { events } of houses) {
    let seen = -1;
    await eventually("the log to come to rest", async () => {
      if (events.length === seen) return true;
      seen = events.length;
      await rest(100);
    });
  }
}

test("a client that leaves during its dial costs nothing once the dial is over", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  await using hop = await scripted(async (wire) => {
    await promise;
    wire.send("HTTP/1.1 200 OK\r\n\r\n");
  });
  await using house = await serving({ chains: { out: [`http://${hop.address}`] } });
  for (const client of clients) {
    const wire = await Wire.to(house.at);
    wire.send(client.ask({ hostname: "name.test", port: 443 }));
    await eventually("the dial", () => hop.accepted[clients.indexOf(client)]);
    (wire.socket as unknown as { resetAndDestroy(): void }).resetAndDestroy();
  }
  resolve();
  for (const wire of hop.accepted) {
    await wire.ending();
    wire.end();
  }
  for (const n of [1, 2, 3]) {
    const { fields } = await house.logged("tunnel.closed", n);
    assertEquals(fields.bytesDown, 0);
  }
});
