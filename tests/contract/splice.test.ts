/**
 * The kernel relay: what it must not change, once it really has the bytes, and what it must not leave behind. The
 * relay's own tests run over it as well.
 *
 * @module
 */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { BulkMeter, Flow, relay } from "../../src/core/relay.ts";
import { KernelRelay } from "../../src/runtime/splice/relay.ts";
import { eventually } from "../support/process.ts";
import {
  bytes,
  ending,
  expectPattern,
  keptByKernel,
  outcome,
  pattern,
  readExactly,
  readText,
  rest,
  send,
  writeText,
} from "../support/traffic.ts";
import { resettable } from "./resettable.ts";
import { runtime, socketPair } from "./transports.ts";
import { finish, kernel, patient, pushed, splicedJoin, type Tunnel, tunnel } from "./tunnels.ts";

const way = { name: "carried", join: splicedJoin, client: socketPair, upstream: socketPair };

/** Waits until the kernel has exactly this many directions. */
async function carrying(n: number): Promise<void> {
  await eventually(
    () => `${n} directions carried, not ${kernel.carrying}`,
    () => kernel.carrying === n || undefined,
  );
}

/** A tunnel whose directions are both the kernel's, with four bytes sent each way. */
async function carriedTunnel(options: Parameters<typeof tunnel>[1] = {}): Promise<Tunnel> {
  await carrying(0);
  const ends = await tunnel(way, options);
  await greet(ends);
  await carrying(2);
  return ends;
}

async function greet({ client, server }: Pick<Tunnel, "client" | "server">): Promise<void> {
  await Promise.all([writeText(client, "ping"), writeText(server, "pong")]);
  assertEquals([await readExactly(server, 4), await readExactly(client, 4)], ["ping", "pong"]);
}

test("both directions are carried, and counted", async () => {
  const { client, server, result } = await carriedTunnel();
  const n = 40_000_000;
  await Promise.all([send(client, n), expectPattern(server, n), send(server, n), expectPattern(client, n)]);
  assertEquals(await result, { bytesUp: n + 4, bytesDown: n + 4, failure: undefined });
  await carrying(0);
});

test("one direction ends, the other is carried on", async () => {
  for (const side of ["client", "server"] as const) {
    const ends = await carriedTunnel();
    const { [side]: first, [side === "client" ? "server" : "client"]: second } = ends;
    await first.closeWrite();
    assertEquals(await readText(second), "");
    await carrying(1);
    for (const word of ["a", "late", "answer"]) {
      await writeText(second, word);
      assertEquals(await readExactly(first, word.length), word);
    }
    await Promise.all([send(second, 3_000_000), expectPattern(first, 3_000_000)]);
    assertEquals((await ends.result).failure, undefined);
  }
});

test("64 tunnels at once, each with its own bytes", async () => {
  await carrying(0);
  const tunnels = await Promise.all(Array.from({ length: 64 }, () => tunnel(way)));
  await Promise.all(tunnels.map(greet));
  await carrying(128);
  await Promise.all(tunnels.map(async ({ client, server, result }, index) => {
    const n = 200_000 + 10_007 * index;
    const options = { restEvery: index % 3 === 0 ? 50_000 : undefined };
    await Promise.all([
      send(client, n, 1 + 997 * index),
      expectPattern(server, n, options),
      send(server, 2 * n),
      expectPattern(client, 2 * n, options),
    ]);
    assertEquals(await result, { bytesUp: n + 4, bytesDown: 2 * n + 4, failure: undefined });
  }));
  await carrying(0);
});

test("a tunnel whose bytes the kernel moves is not idle, and one where it moves none is", async () => {
  const { client, server, result } = await carriedTunnel({ limits: { idle: 1000, halfClosed: 600_000 } });
  for (const until = performance.now() + 2500; performance.now() < until;) {
    await writeText(client, "still here");
    await readExactly(server, 10);
    await rest(20);
  }
  assertEquals(await outcome(result, 0), "pending");
  const [{ failure }] = await Promise.all([result, ending(client), ending(server)]);
  assertEquals(failure?.side, "local");
  assertStringIncludes(String(failure?.error), "idle for 1 s");
  await carrying(0);
});

test("half-closed and idle for too long", async () => {
  const { client, server, result } = await carriedTunnel({ limits: { idle: 600_000, halfClosed: 300 } });
  await client.closeWrite();
  assertEquals(await readText(server), "");
  const [{ failure }] = await Promise.all([result, ending(client)]);
  assertStringIncludes(String(failure?.error), "idle for 0.3 s");
  server.close();
  await carrying(0);
});

test("a stalled sink holds its source back, whatever a receive buffer may grow to", async () => {
  for (let round = 0; round < 3; round++) {
    const written = await pushed(await carriedTunnel());
    assert(written <= keptByKernel(6 << 20) + (2 << 20), `${written} bytes were taken`);
  }
});

test("a cancel ends it in the middle of the flow, with its count", async () => {
  const controller = new AbortController();
  const { client, server, result } = await carriedTunnel({ signal: controller.signal });
  const pushing = (async () => {
    for (;;) await client.write(bytes(1 << 20));
  })().catch(() => {});
  await readExactly(server, 5_000_000);
  controller.abort(new Error("stopping"));
  const { failure, bytesUp } = await result;
  assertEquals([failure?.side, String(failure?.error)], ["local", "Error: stopping"]);
  assert(bytesUp >= 5_000_004, `${bytesUp} bytes`);
  await Promise.all([pushing, ending(client), ending(server)]);
  await carrying(0);
});

for (const side of ["client", "upstream"] as const) {
  for (const flowing of [false, true]) {
    test(`a reset by the ${side}, ${flowing ? "while it is sent to" : "while all is quiet"}`, async () => {
      await carrying(0);
      const { raw, conn } = await resettable();
      const [near, far] = await socketPair();
      const [a, b] = side === "client" ? [conn, near] : [near, conn];
      const result = relay(a, b, patient, { join: splicedJoin });
      raw.write("ping");
      await writeText(far, "pong");
      assertEquals(await readExactly(far, 4), "ping");
      await carrying(2);
      const pushing = (async () => {
        while (flowing) await far.write(bytes(1 << 20));
      })().catch(() => {});
      if (flowing) await rest(100);
      raw.resetAndDestroy();
      assertEquals((await result).failure?.side, side);
      await Promise.all([pushing, ending(far)]);
      far.close();
      await carrying(0);
    });
  }
}

test("what the sink did not take before it was gone is a loss, and said to be one", async () => {
  const { client, server, result } = await carriedTunnel();
  for (const piece of pattern(20_000_000)) {
    if (await outcome(client.write(piece), 300) === "pending") break;
  }
  server.abort();
  const { failure } = await result;
  assertEquals(failure?.side, "upstream");
  await ending(client);
  client.close();
  await carrying(0);
});

test("no descriptor is left behind, however a tunnel ends", async () => {
  const descriptors = () => readdirSync("/proc/self/fd").length;
  await finish(await carriedTunnel());
  const before = descriptors();
  for (let n = 0; n < 20; n++) {
    const controller = new AbortController();
    const ends = await carriedTunnel({ signal: controller.signal });
    if (n % 4 === 0) controller.abort(new Error("stopping"));
    else if (n % 4 === 1) ends.client.abort();
    else if (n % 4 === 2) await ends.server.closeWrite();
    await finish(ends);
  }
  await carrying(0);
  await eventually(
    () => `${before} descriptors, not ${descriptors()}`,
    () => descriptors() <= before || undefined,
  );
});

test("a direction that can't be carried stays where it is, and costs nothing", () => {
  const before = readdirSync("/proc/self/fd").length;
  const none = 1_000_000;
  assertEquals(kernel.carry(none, none + 1, new Flow(), "up"), null);
  assertEquals([kernel.carrying, readdirSync("/proc/self/fd").length], [0, before]);
});

test("without its worker nothing is carried, and everything is relayed", async () => {
  const broken = new KernelRelay("/nonexistent/worker.ts", 1);
  assertEquals([broken.ready, await broken.started()], [false, false]);
  assertNotEquals(await broken.failed, undefined);
  const { client, server, result } = await tunnel({ ...way, join: runtime.spliced(broken) });
  await Promise.all([send(client, 1_000_000), expectPattern(server, 1_000_000), send(server, 10)]);
  await expectPattern(client, 10);
  assertEquals(await result, { bytesUp: 1_000_000, bytesDown: 10, failure: undefined });
});

test("bulk is so many bytes within a second", () => {
  const meter = new BulkMeter(1000);
  const from = performance.now();
  const at = (n: number, ms: number) => meter.add(n, from + ms);
  assertEquals([at(999, 0), at(1, 500)], [false, true]);
  assertEquals([at(500, 1000), at(500, 2000)], [false, false], "as many, but slowly");
  assertEquals([at(600, 2100), at(600, 2200)], [false, true]);
});
