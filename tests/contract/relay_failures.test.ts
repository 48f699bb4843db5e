/**
 * The relay when something goes wrong: a reset, silence, a cancel, an end that has gone. It always ends, says whose
 * fault it was, and delivers what it had.
 *
 * @module
 */
import { assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { BufferedConn } from "../../src/core/conn.ts";
import { relay } from "../../src/core/relay.ts";
import {
  bytes,
  ending,
  expectPattern,
  outcome,
  readExactly,
  readText,
  rest,
  writeText,
} from "../support/traffic.ts";
import { resettable } from "./resettable.ts";
import { runtime, socketPair } from "./transports.ts";
import { finish, patient, splicedJoin, tunnel, ways } from "./tunnels.ts";

/** Watches from the start that something comes to an error, and does not hang. */
function fails(work: () => Promise<void>): Promise<string> {
  return outcome(work(), 20_000);
}

for (const way of ways) {
  for (const side of ["client", "upstream"] as const) {
    test(`${way.name}: a cut by the ${side} is passed on and reported`, async () => {
      const { client, server, result } = await tunnel(way);
      await writeText(client, "up");
      await readExactly(server, 2);
      await writeText(server, "down");
      await readExactly(client, 4);
      const [broken, other] = side === "client" ? [client, server] : [server, client];
      broken.abort();
      await ending(other);
      // What a plain socket of Deno's aborts looks like one that has ended, until it is written to.
      while (await outcome(writeText(other, "more"), 1000) === "value") await rest(5);
      const { failure } = await result;
      assertNotEquals(failure, undefined);
    });
  }

  test(`${way.name}: idle for too long`, async () => {
    const { client, server, result } = await tunnel(way, { limits: { idle: 100, halfClosed: 600_000 } });
    const [{ failure }] = await Promise.all([result, ending(client), ending(server)]);
    assertEquals(failure?.side, "local");
    assertStringIncludes(String(failure?.error), "idle for 0.1 s");
  });

  test(`${way.name}: half-closed and idle for too long`, async () => {
    const { client, server, result } = await tunnel(way, { limits: { idle: 600_000, halfClosed: 100 } });
    // Open both ways it may be silent for longer than that.
    assertEquals(await outcome(result, 400), "pending");
    await client.closeWrite();
    assertEquals(await readText(server), "");
    await ending(client);
    const { failure } = await result;
    assertEquals(failure?.side, "local");
    assertStringIncludes(String(failure?.error), "idle for 0.1 s");
    server.close();
  });

  test(`${way.name}: idle with a stalled sink and data on its way`, async () => {
    const { client, server, result } = await tunnel(way, { limits: { idle: 300, halfClosed: 300 } });
    const piece = bytes(1 << 20);
    const pushing = fails(async () => {
      for (;;) await client.write(piece);
    });
    const { failure } = await result;
    assertEquals(failure?.side, "local");
    assertEquals(await pushing, "error");
    server.close();
  });

  test(`${way.name}: cancelled by its signal`, async () => {
    const controller = new AbortController();
    const { client, server, result } = await tunnel(way, { signal: controller.signal });
    await writeText(client, "up");
    await readExactly(server, 2);
    const reason = new Error("stopping");
    controller.abort(reason);
    const { failure, bytesUp } = await result;
    assertEquals([failure?.side, failure?.error, bytesUp], ["local", reason, 2]);
    await Promise.all([ending(client), ending(server)]);
  });

  test(`${way.name}: cancelled before it began`, async () => {
    const reason = new Error("stopping");
    const { client, server, result } = await tunnel(way, { signal: AbortSignal.abort(reason) });
    assertEquals((await result).failure?.error, reason);
    await Promise.all([ending(client), ending(server)]);
  });

  test(`${way.name}: the target answers, ends and goes, while the client still uploads`, async () => {
    const ends = await tunnel(way);
    const { client, server, result } = ends;
    const piece = bytes(100_000);
    const uploading = fails(async () => {
      for (;;) await client.write(piece);
    });
    await readExactly(server, 1000);
    await server.write(piece);
    await server.closeWrite();
    await expectPattern(client, piece.length);
    server.close();
    assertEquals(await uploading, "error");
    const { failure, bytesDown } = await result;
    assertEquals(bytesDown, piece.length);
    // Whether bytes were lost can only be told where some had not been taken; the others are never blamed.
    assertEquals(failure?.side ?? "upstream", "upstream");
  });

  test(`${way.name}: the client ends and goes, while the target still sends`, async () => {
    const { client, server, result } = await tunnel(way);
    await writeText(client, "send me something");
    await client.closeWrite();
    assertEquals(await readText(server), "send me something");
    const piece = bytes(100_000);
    const sending = fails(async () => {
      for (;;) await server.write(piece);
    });
    await readExactly(client, 1000);
    client.close();
    assertEquals(await sending, "error");
    assertEquals((await result).failure?.side ?? "client", "client");
  });

  test(`${way.name}: the client goes while it is owed data and the target only reads`, async () => {
    const ends = await tunnel(way, { limits: patient });
    await writeText(ends.client, "last words");
    ends.client.close();
    assertEquals(await readText(ends.server), "last words");
    const { bytesUp } = await finish(ends);
    assertEquals(bytesUp, 10);
  });
}

const joins = [
  ["joined by the runtime", runtime.join],
  ["carried by the kernel", splicedJoin],
  ["copied", undefined],
] as const;

for (const [name, join] of joins) {
  for (const side of ["client", "upstream"] as const) {
    for (const ended of [false, true]) {
      const title = ended ? "after the other side's end" : "with both directions open";
      test(`sockets, ${name}: a reset by the ${side}, ${title}`, async () => {
        const { raw, conn } = await resettable();
        const [near, far] = await socketPair();
        const result = side === "client"
          ? relay(conn, near, patient, { join })
          : relay(near, conn, patient, { join });
        raw.write("hello");
        assertEquals(await readExactly(far, 5), "hello");
        if (ended) {
          const end = new Promise((resolve) => raw.once("end", resolve));
          raw.resume();
          await far.closeWrite();
          await end;
        }
        raw.resetAndDestroy();
        const { failure } = await result;
        assertEquals(failure?.side, side);
        await ending(far);
        far.close();
      });
    }

    test(`sockets, ${name}: the ${side} has ended and gone before the relay begins`, async () => {
      const { raw, conn } = await resettable();
      const [near, far] = await socketPair();
      raw.end("goodbye");
      const first = BufferedConn.of(conn);
      await first.fill();
      await writeText(far, "anybody there?");
      await rest(50);
      raw.resetAndDestroy();
      await rest(50);
      const uploading = fails(async () => {
        for (;;) await writeText(far, "hello?");
      });
      const [a, b] = side === "client" ? [first, near] : [near, first];
      const joined = relay(a, b, patient, { join });
      assertEquals(await readText(far), "goodbye");
      await joined;
      assertEquals(await uploading, "error");
      far.close();
    });

    test(`sockets, ${name}: a reset by the ${side} behind its end, with nothing lost, is no failure`, async () => {
      const { raw, conn } = await resettable();
      const [near, far] = await socketPair();
      const [a, b] = side === "client" ? [conn, near] : [near, conn];
      const joined = relay(a, b, patient, { join });
      raw.end("goodbye");
      assertEquals(await readText(far), "goodbye");
      raw.resetAndDestroy();
      await rest(50);
      far.close();
      assertEquals((await joined).failure, undefined);
    });
  }
}
