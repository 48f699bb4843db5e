/**
 * How data flows: whole and in order at any pace, and no faster than it is read. On every transport alike.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import { expectPattern, outcome, pattern, send } from "../support/traffic.ts";
import { type Pair, transports } from "./transports.ts";

const MiB = 1 << 20;

function everywhere(title: string, body: (client: Pair[0], server: Pair[1]) => Promise<void>): void {
  for (const { name, open } of transports) {
    test(`${name}: ${title}`, async () => {
      const [client, server] = await open();
      await body(client, server);
      client.close();
      server.close();
    });
  }
}

everywhere("64 MiB both ways at once", async (client, server) => {
  await Promise.all([
    send(client, 64 * MiB),
    expectPattern(server, 64 * MiB, { buffer: 256 * 1024 }),
    send(server, 64 * MiB),
    expectPattern(client, 64 * MiB, { buffer: 256 * 1024 }),
  ]);
});

everywhere("one byte at a time", async (client, server) => {
  await Promise.all([send(client, 1000, 1), expectPattern(server, 1000, { buffer: 1 })]);
  await Promise.all([send(server, 1000, 1), expectPattern(client, 1000, { buffer: 1 })]);
});

everywhere("8 MB to a slow reader", async (client, server) => {
  await Promise.all([send(client, 8e6), expectPattern(server, 8e6, { restEvery: 200_000 })]);
  await Promise.all([send(server, 8e6), expectPattern(client, 8e6, { restEvery: 200_000 })]);
});

everywhere(
  "a pusher against a stalled reader is stopped, and all of it arrives later",
  async (client, server) => {
    for (const [from, to] of [[client, server], [server, client]]) {
      const total = 64 * MiB;
      let written = 0;
      const pushing = (async () => {
        for (const piece of pattern(total, 64 * 1024)) {
          await from.write(piece);
          written += piece.length;
        }
        await from.closeWrite();
      })();
      // A slow machine may look like a stopped pusher; it never looks like one that is not stopped.
      for (let before = -1; written > before;) {
        before = written;
        assertEquals(await outcome(pushing, 300), "pending");
      }
      assert(written <= 16 * MiB, `${written} bytes were taken`);
      await Promise.all([pushing, expectPattern(to, total, { buffer: 256 * 1024 })]);
    }
  },
);

everywhere("a buffer may be reused once its write has settled", async (client, server) => {
  const reading = expectPattern(server, 3_000_000);
  const buffer = new Uint8Array(10_000);
  for (const piece of pattern(3_000_000, buffer.length)) {
    buffer.set(piece);
    await client.write(buffer.subarray(0, piece.length));
    buffer.fill(0);
  }
  await client.closeWrite();
  await reading;
});

everywhere("an empty write sends nothing and ends nothing", async (client, server) => {
  await client.write(new Uint8Array(0));
  await send(client, 10);
  await expectPattern(server, 10);
});
