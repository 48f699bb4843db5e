/**
 * How a connection ends: each direction by itself, both in good order, or at once. On every transport alike.
 *
 * @module
 */
import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import type { Conn } from "../../src/core/conn.ts";
import {
  ending,
  expectPattern,
  outcome,
  readExactly,
  readText,
  send,
  writeText,
} from "../support/traffic.ts";
import { transports } from "./transports.ts";

/** Long enough for anything that happens at all; nobody waits for it when all is well. */
const patience = 20_000;

/** Runs `body` with a pair that is closed afterwards, and once more with the two ends' roles exchanged. */
function eitherEnd(title: string, body: (one: Conn, other: Conn, resets: boolean) => Promise<void>): void {
  for (const { name, open, resets } of transports) {
    for (const first of ["client", "server"] as const) {
      test(`${name}: ${title} (${first} first)`, async () => {
        const [client, server] = await open();
        await (first === "client" ? body(client, server, resets) : body(server, client, resets));
        client.abort();
        server.abort();
      });
    }
  }
}

eitherEnd("after a half-close, data still flows the other way", async (one, other) => {
  await writeText(one, "last words");
  await one.closeWrite();
  assertEquals(await readText(other), "last words");
  // In pieces, with pauses: nothing may be on its way already when the half-close is noticed.
  for (const word of ["a", "late", "answer"]) {
    await writeText(other, word);
    assertEquals(await readExactly(one, word.length), word);
  }
  await Promise.all([send(other, 3_000_000), expectPattern(one, 3_000_000)]);
});

eitherEnd("a half-close with no data before it", async (one, other) => {
  await one.closeWrite();
  assertEquals(await readText(other), "");
  await Promise.all([send(other, 100), expectPattern(one, 100)]);
});

eitherEnd("data that arrives together with the end is read whole", async (one, other) => {
  const sent = send(one, 200_000);
  assertEquals(await outcome(sent, 50), await outcome(sent, 50));
  await expectPattern(other, 200_000, { buffer: 1000, restEvery: 20_000 });
  await sent;
});

eitherEnd("a few bytes and the end at once", async (one, other) => {
  await Promise.all([writeText(one, "hi"), one.closeWrite()]);
  assertEquals(await readText(other, { buffer: 1 }), "hi");
});

eitherEnd("the end is read again and again", async (one, other) => {
  await one.closeWrite();
  const p = new Uint8Array(10);
  assertEquals([await other.read(p), await other.read(p), await other.read(p)], [null, null, null]);
});

eitherEnd("close ends both directions, behind what was written", async (one, other) => {
  await writeText(one, "bye");
  one.close();
  assertEquals(await readText(other), "bye");
});

eitherEnd("close and abort are idempotent, in any order", (one, other) => {
  for (const conn of [one, other]) {
    conn.close();
    conn.close();
    conn.abort();
    conn.close();
    conn.abort();
  }
  return Promise.resolve();
});

eitherEnd("close after both half-closes", async (one, other) => {
  await Promise.all([one.closeWrite(), other.closeWrite()]);
  assertEquals([await readText(one), await readText(other)], ["", ""]);
  one.close();
  other.close();
  await one.closeWrite().catch(() => {});
});

eitherEnd("a read that waits ends when its own side closes", async (one) => {
  const waiting = one.read(new Uint8Array(1));
  one.close();
  assertNotEquals(await outcome(waiting, patience), "pending");
});

eitherEnd("a read that waits fails when its own side aborts", async (one) => {
  const waiting = one.read(new Uint8Array(1));
  one.abort();
  await assertRejects(() => waiting);
});

eitherEnd("reading after close does not hang", async (one) => {
  one.close();
  assertNotEquals(await outcome(one.read(new Uint8Array(1)), patience), "pending");
  assertNotEquals(await outcome(one.read(new Uint8Array(1)), patience), "pending");
});

eitherEnd("writing after close fails", async (one) => {
  one.close();
  await assertRejects(() => one.write(new Uint8Array(1)));
});

eitherEnd("writing after a half-close fails", async (one) => {
  await one.closeWrite();
  await assertRejects(() => one.write(new Uint8Array(1)));
});

eitherEnd("writing after abort fails", async (one) => {
  one.abort();
  await assertRejects(() => one.write(new Uint8Array(1)));
});

eitherEnd("abort reaches the peer", async (one, other, resets) => {
  one.abort();
  assertEquals(await ending(other), resets ? "error" : "end");
});

eitherEnd("abort with bytes left unread reaches the peer, too", async (one, other, resets) => {
  await writeText(other, "never read to its end");
  await readExactly(one, 1);
  one.abort();
  assertEquals(await ending(other), resets ? "error" : "end");
});

eitherEnd("a writer to a peer that has gone fails", async (one, other) => {
  one.abort();
  await assertRejects(async () => {
    for (;;) await other.write(new Uint8Array(64 * 1024));
  });
});
