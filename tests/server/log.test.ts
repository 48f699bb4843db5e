/**
 * What the events of a tunnel say: who, where to, by which way, how much; at which hop it failed.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { concat } from "../support/bytes.ts";
import { echoOrigin } from "../support/origins.ts";
import { outcome } from "../support/traffic.ts";
import { clients, http, socks5 } from "./clients.ts";
import { lineLog } from "../../src/log.ts";
import { serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

test("tunnel.closed has the facts, and only them", async () => {
  await using echo = await echoOrigin();
  await using near = await serving();
  await using far = await serving();
  const alice = { username: "alice", password: "secret" };
  const address = "127.0.0.1:0";
  await using house = await serving({
    listeners: [address, { address, users: [alice] }],
    hops: { exit: `socks5://127.0.0.1:${near.at.port}` },
    chains: { out: ["exit", `http://127.0.0.1:${far.at.port}`] },
  });
  const via = ["exit", `http://127.0.0.1:${far.at.port}`];
  let seen = 0;
  for (const client of clients) {
    for (const [index, at] of house.server.addresses.entries()) {
      if (index === 1 && client.protocol === "socks4") continue;
      using wire = await Wire.to(at);
      const local = `127.0.0.1:${wire.socket.localPort}`;
      wire.send(concat(client.ask(echo, index === 1 ? alice : undefined), new Uint8Array(1000)));
      assertEquals(await client.answer(wire), client.success);
      await wire.read(1000);
      wire.end();
      await wire.ending();
      const { level, fields } = await house.logged("tunnel.closed", ++seen);
      const { id, durationMs, user, reason, ...facts } = fields;
      assertEquals(level, "info");
      assertEquals([typeof id, reason], ["number", undefined]);
      assertEquals(Number.isInteger(durationMs) && Number(durationMs) >= 0, true);
      assertEquals(user, index === 1 ? "alice" : undefined);
      assertEquals(facts, {
        listener: `127.0.0.1:${at.port}`,
        client: local,
        protocol: client.protocol,
        target: echo.address,
        via,
        bytesUp: 1000,
        bytesDown: 1000,
      });
    }
  }
  const ids = house.events.map(({ fields }) => fields.id).filter((id) => id !== undefined);
  assertEquals(new Set(ids).size, ids.length, "every tunnel has an id of its own");
});

test("tunnel.failed has the same facts and where it failed", async () => {
  await using house = await serving({
    hops: { exit: "socks5://alice:secret@127.0.0.1:1" },
    chains: { out: ["exit"] },
  });
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask({ hostname: "example.com", port: 443 }));
  assertEquals(await socks5.answer(wire), 5);
  const { level, fields } = await house.logged("tunnel.failed");
  assertEquals(level, "warn");
  assertEquals([fields.protocol, fields.target, fields.via], ["socks5", "example.com:443", ["exit"]]);
  const { error } = fields;
  assertEquals(Object.keys(error), ["code", "hop", "label", "stage", "message"]);
  assertEquals(
    [error.code, error.hop, error.label, error.stage],
    ["refused", 1, "exit (socks5 127.0.0.1:1)", "connect"],
  );
});

test("an upstream that breaks off is a failure with counts; a client that does is none", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  await using server = await scripted(async (wire) => {
    wire.send("x".repeat(500));
    await promise;
    (wire.socket as unknown as { resetAndDestroy(): void }).resetAndDestroy();
  });
  await using house = await serving();
  using wire = await Wire.to(house.at);
  wire.send(http.ask(server), "hello");
  assertEquals(await http.answer(wire), 200);
  await wire.read(500);
  resolve();
  await wire.ending();
  const { fields } = await house.logged("tunnel.failed");
  assertEquals([fields.bytesUp, fields.bytesDown], [5, 500]);
  assertEquals([fields.error.code, fields.error.hop, fields.error.stage], ["closed", 0, "relay"]);

  await using echo = await echoOrigin();
  using hasty = await Wire.to(house.at);
  hasty.send(socks5.ask(echo), "hello");
  assertEquals(await socks5.answer(hasty), 0);
  await hasty.read(5);
  (hasty.socket as unknown as { resetAndDestroy(): void }).resetAndDestroy();
  const closed = await house.logged("tunnel.closed");
  assertEquals([closed.fields.bytesUp, closed.fields.bytesDown], [5, 5]);
  assertMatch(String(closed.fields.reason), /./);
});

test("a client that leaves without a word is worth no more than a line for debugging", async () => {
  await using house = await serving();
  using wire = await Wire.to(house.at);
  wire.end();
  await wire.ending();
  const { level, fields } = await house.logged("tunnel.failed");
  assertEquals([level, fields.error.code, fields.error.label], ["debug", "closed", "client"]);
});

test("a client that was refused is in the log before it leaves", async () => {
  await using house = await serving();
  using wire = await Wire.to(house.at);
  wire.send("\x05\x01\x01");
  assertEquals(await wire.read(2), Uint8Array.of(5, 255));
  assertEquals(await outcome(house.logged("tunnel.failed"), 3000), "value");
  wire.end();
  await house.server.close();
  assertEquals(house.events.filter(({ event }) => event === "tunnel.failed").length, 1);
});

// deno-lint-ignore no-control-regex -- what must not be there
const hazards = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

test("no line holds what a terminal, or a reader of lines, could take for its own", () => {
  const nasty = "a\x00\r\n\x1b[2J\x7f\x85\x9b\u061c\u200e\u2028\u202e\u2066\ufeffz";
  const error = { code: "closed", hop: 1, label: nasty, stage: "relay", message: nasty };
  for (const format of ["text", "json"] as const) {
    const lines: string[] = [];
    lineLog({ level: "info", format }, (line) => lines.push(line))("info", "tunnel.failed", {
      user: nasty,
      via: [nasty],
      error,
    });
    assertEquals(lines.length, 1);
    assertEquals(lines[0].match(hazards), null);
    assertEquals(lines[0].match(/z/g)!.length, 4, "and nothing is left out");
  }
});
