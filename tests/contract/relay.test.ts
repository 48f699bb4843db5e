/**
 * The relay in good order: each direction ends by itself, and everything arrives before its end.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { BufferedConn } from "../../src/core/conn.ts";
import {
  expectPattern,
  keptByKernel,
  readExactly,
  readText,
  rest,
  send,
  writeText,
} from "../support/traffic.ts";
import { pushed, tunnel, ways } from "./tunnels.ts";

for (const way of ways) {
  test(`${way.name}: the client ends first, and the answer still comes`, async () => {
    const { client, server, result } = await tunnel(way);
    await writeText(client, "question");
    await client.closeWrite();
    assertEquals(await readText(server), "question");
    for (const word of ["a", "late", "answer"]) {
      await writeText(server, word);
      assertEquals(await readExactly(client, word.length), word);
    }
    await Promise.all([send(server, 1_000_000), expectPattern(client, 1_000_000)]);
    assertEquals(await result, { bytesUp: 8, bytesDown: 1_000_011, failure: undefined });
  });

  test(`${way.name}: the target ends first, and the client goes on`, async () => {
    const { client, server, result } = await tunnel(way);
    await writeText(server, "greeting");
    await server.closeWrite();
    assertEquals(await readText(client), "greeting");
    for (const word of ["a", "late", "answer"]) {
      await writeText(client, word);
      assertEquals(await readExactly(server, word.length), word);
    }
    await Promise.all([send(client, 1_000_000), expectPattern(server, 1_000_000)]);
    assertEquals(await result, { bytesUp: 1_000_011, bytesDown: 8, failure: undefined });
  });

  test(`${way.name}: 32 MiB both ways at once, counted`, async () => {
    const { client, server, result } = await tunnel(way);
    const n = 32 << 20;
    await Promise.all([
      send(client, n),
      expectPattern(server, n),
      send(server, n),
      expectPattern(client, n),
    ]);
    assertEquals(await result, { bytesUp: n, bytesDown: n, failure: undefined });
  });

  test(`${way.name}: one byte at a time`, async () => {
    const { client, server, result } = await tunnel(way);
    await Promise.all([
      send(client, 500, 1),
      expectPattern(server, 500, { buffer: 1 }),
      send(server, 500, 1),
      expectPattern(client, 500, { buffer: 1 }),
    ]);
    assertEquals(await result, { bytesUp: 500, bytesDown: 500, failure: undefined });
  });

  for (const size of [1, 300_000, 1_000_000, 3_000_000, 5_000_000, 8_000_000, 12_000_000]) {
    test(`${way.name}: a source of ${size} bytes ends while its sink is stalled`, async () => {
      const { client, server, result } = await tunnel(way);
      const sending = Promise.all([send(client, size), server.closeWrite()]);
      await rest(100);
      await Promise.all([sending, expectPattern(server, size, { restEvery: 500_000 })]);
      assertEquals(await readText(client), "");
      assertEquals(await result, { bytesUp: size, bytesDown: 0, failure: undefined });
    });
  }

  test(`${way.name}: what a handshake read too far, and what came before the relay, arrives once`, async () => {
    const { client, server, result } = await tunnel(way, {
      async early(ends, clientSide, upstreamSide) {
        await writeText(ends.client, "handshake, early data");
        await writeText(ends.server, "banner");
        const [buffered, other] = [BufferedConn.of(clientSide), BufferedConn.of(upstreamSide)];
        while (buffered.buffered.length < 21) await buffered.fill();
        while (other.buffered.length < 6) await other.fill();
        buffered.consume("handshake, ".length);
        await writeText(ends.client, ", more");
        await ends.server.closeWrite();
        return [buffered, other];
      },
    });
    await writeText(client, ", and more");
    await client.closeWrite();
    assertEquals(await readText(server), "early data, more, and more");
    assertEquals(await readText(client), "banner");
    assertEquals(await result, { bytesUp: 26, bytesDown: 6, failure: undefined });
  });

  test(`${way.name}: both ends had ended before the relay began`, async () => {
    const { client, server, result } = await tunnel(way, {
      async early(ends, clientSide, upstreamSide) {
        await Promise.all([send(ends.client, 50_000), send(ends.server, 30_000)]);
        await rest(20);
        return [clientSide, upstreamSide];
      },
    });
    await Promise.all([expectPattern(server, 50_000), expectPattern(client, 30_000)]);
    assertEquals(await result, { bytesUp: 50_000, bytesDown: 30_000, failure: undefined });
  });

  test(`${way.name}: a pusher against a stalled reader is held back by the relay`, async () => {
    const written = await pushed(await tunnel(way));
    assertEquals(written <= keptByKernel() + (16 << 20), true, `${written} bytes were taken`);
  });
}
