/**
 * HTTP/2 under attack, and under load: floods are cut, windows are kept, memory is bounded.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { test } from "node:test";
import type { Conn } from "../../src/core/conn.ts";
import { concat } from "../support/bytes.ts";
import { proxyError } from "../support/errors.ts";
import { FakeConn } from "../support/fake_conn.ts";
import * as h2 from "../support/h2_peer.ts";
import { type Client, h2Client, h2Tunnel } from "./h2_client.ts";

const CALM = 0xb;
const FLOW = 3;

/** Sends in the background, for as long as the listener takes it. */
function flood({ peer }: Client, more: (round: number) => Uint8Array): void {
  (async () => {
    for (let round = 0; round < 100_000; round++) await peer.send(more(round));
  })().catch(() => {});
}

const id = (round: number) => 2 * round + 3;
const settings = h2.raw(h2.SETTINGS, 0, 0);
const setting = (id: number, value: number) =>
  h2.raw(h2.SETTINGS, 0, 0, concat(Uint8Array.of(0, id), h2.number(value)));
const path = { ":method": "CONNECT", ":authority": "a:1", ":path": "/" };

for (
  const [what, more] of Object.entries<(round: number) => Uint8Array>({
    "rapid reset (CVE-2023-44487)": (round) =>
      concat(h2.connectTo(id(round), "a:1"), h2.raw(h2.RST_STREAM, 0, id(round), h2.number(8))),
    "made-you-reset by a window of 0 (CVE-2025-8671)": (round) =>
      concat(h2.connectTo(id(round), "a:1"), h2.raw(h2.WINDOW_UPDATE, 0, id(round), h2.number(0))),
    "made-you-reset by malformed requests": (round) => h2.headers(id(round), path),
    "PING": () => h2.raw(h2.PING, 0, 0, new Uint8Array(8)),
    "SETTINGS": () => settings,
    "empty DATA": () => h2.raw(h2.DATA, 0, 1),
    "WINDOW_UPDATE": () => h2.raw(h2.WINDOW_UPDATE, 0, 1, h2.number(1)),
    "PRIORITY": () => h2.raw(2, 0, 1, new Uint8Array(5)),
    "frames of unknown types": () => h2.raw(99, 0, 0),
    "answers to PINGs that nobody sent": () => h2.raw(h2.PING, 1, 0, new Uint8Array(8)),
    "GOAWAY": () => h2.raw(h2.GOAWAY, 0, 0, new Uint8Array(8)),
    "header blocks without end (CVE-2024-27316)": (round) =>
      round === 0
        ? h2.raw(h2.HEADERS, 0, 3, new Uint8Array(100))
        : h2.raw(h2.CONTINUATION, 0, 3, new Uint8Array(9000)),
    "header blocks in bytes": (round) =>
      h2.raw(round === 0 ? h2.HEADERS : h2.CONTINUATION, 0, 3, new Uint8Array(1)),
    "empty CONTINUATION": (round) => h2.raw(round === 0 ? h2.HEADERS : h2.CONTINUATION, 0, 3),
  })
) {
  test(`a flood is cut: ${what}`, async () => {
    const client = await h2Tunnel();
    flood(client, more);
    assertEquals((await client.peer.goaway()).code, CALM);
    client.peer.conn.close();
    assertEquals(proxyError(await client.handled).code, "protocol");
  });
}

test("a flood of PINGs whose answers nobody reads is cut", async () => {
  // Nothing that we write is ever read: what is waiting may not grow with every PING, though data pays for it.
  const client = await h2Tunnel({ memory: { capacity: 1024 } });
  flood(client, () => concat(h2.raw(h2.DATA, 0, 1, "x"), h2.raw(h2.PING, 0, 0, new Uint8Array(8))));
  const error = proxyError(await client.handled);
  assertEquals([error.code, error.message], ["protocol", "the peer does not read what it asks for"]);
});

test("header fields that weigh too much are 431; one may repeat a large one for a byte each", async () => {
  const { peer } = h2Client();
  await peer.greet();
  const value = "v".repeat(120);
  const indexed = concat(Uint8Array.of(0x40, 1), "n", Uint8Array.of(value.length), value);
  const bomb = concat(
    h2.block({ ":method": "CONNECT", ":authority": "a:1" }),
    indexed,
    new Uint8Array(9000).fill(0xbe),
  );
  await peer.send(h2.raw(h2.HEADERS, 4, 1, bomb));
  const { payload } = await peer.until(h2.HEADERS, 1);
  assertEquals(new TextDecoder("latin1").decode(payload).includes("431"), true);
  await peer.send(h2.connectTo(3, "a:1"));
  await peer.until(h2.HEADERS, 3);
});

test("streams beyond the limit are refused, those included whose dial goes on after a reset", async () => {
  const { peer, asked } = h2Client({ maxStreams: 3, dial: () => new Promise(() => {}) });
  await peer.greet();
  for (const stream of [1, 3, 5]) await peer.send(h2.connectTo(stream, "a:1"));
  await peer.send(h2.connectTo(7, "a:1"));
  assertEquals(await peer.resetOf(7), 7);
  await peer.send(h2.raw(h2.RST_STREAM, 0, 1, h2.number(8)), h2.connectTo(9, "a:1"));
  assertEquals(await peer.resetOf(9), 7);
  assertEquals(asked.length, 3);
});

for (
  const [what, code, frames] of [
    ["DATA on a stream that nobody opened", 1, h2.raw(h2.DATA, 0, 9, "x")],
    ["DATA on stream 0", 1, h2.raw(h2.DATA, 0, 0, "x")],
    ["a stream with an even number", 1, h2.connectTo(2, "a:1")],
    ["CONTINUATION of nothing", 1, h2.raw(h2.CONTINUATION, 4, 1)],
    ["another frame within a header block", 1, concat(h2.raw(h2.HEADERS, 0, 3), h2.raw(h2.PING, 0, 0))],
    ["PUSH_PROMISE", 1, h2.raw(5, 4, 1, new Uint8Array(4))],
    ["padding longer than its frame", 1, h2.raw(h2.DATA, 8, 1, Uint8Array.of(9, 0))],
    ["SETTINGS on a stream", 1, h2.raw(h2.SETTINGS, 0, 1)],
    ["SETTINGS of 5 bytes", 6, h2.raw(h2.SETTINGS, 0, 0, new Uint8Array(5))],
    ["SETTINGS_ENABLE_PUSH of 2", 1, setting(2, 2)],
    ["SETTINGS_INITIAL_WINDOW_SIZE of 2^31", 3, setting(4, 2 ** 31)],
    ["SETTINGS_MAX_FRAME_SIZE of less than 2^14", 1, setting(5, 2 ** 14 - 1)],
    ["SETTINGS_MAX_FRAME_SIZE of 2^24", 1, setting(5, 2 ** 24)],
    ["PRIORITY on stream 0", 1, h2.raw(2, 0, 0, new Uint8Array(5))],
    ["PING of 7 bytes", 6, h2.raw(h2.PING, 0, 0, new Uint8Array(7))],
    ["RST_STREAM of 3 bytes", 6, h2.raw(h2.RST_STREAM, 0, 1, new Uint8Array(3))],
    ["a frame that is too long", 6, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 1)],
    ["a window of more than 2^31-1", 3, h2.raw(h2.WINDOW_UPDATE, 0, 0, h2.number(0x7fff_ffff))],
    ["a header block that can't be decoded", 9, h2.raw(h2.HEADERS, 4, 3, Uint8Array.of(0x80))],
  ] as const
) {
  test(`${what} ends the connection with ${code}`, async () => {
    const { peer, handled } = await h2Tunnel();
    await peer.send(frames);
    assertEquals((await peer.goaway()).code, code);
    peer.conn.close();
    assertEquals(proxyError(await handled).side, "client");
  });
}

test("a stream's window is a stream's matter: more than 2^31-1 resets it alone", async () => {
  const { peer } = await h2Tunnel();
  await peer.send(h2.raw(h2.WINDOW_UPDATE, 0, 1, h2.number(0x7fff_ffff)));
  assertEquals(await peer.resetOf(1), FLOW);
  await peer.send(h2.connectTo(3, "a:1"));
  await peer.until(h2.HEADERS, 3);
});

test("settings at their bounds are taken, and PRIORITY of 4 bytes is its stream's matter alone", async () => {
  const { peer } = await h2Tunnel();
  await peer.send(setting(2, 1), setting(4, 2 ** 31 - 1), setting(5, 2 ** 14), setting(5, 2 ** 24 - 1));
  await peer.send(h2.raw(2, 0, 1, new Uint8Array(4)));
  assertEquals(await peer.resetOf(1), 6);
  await peer.send(h2.raw(2, 0, 9, new Uint8Array(4)), h2.connectTo(3, "a:1"));
  await peer.until(h2.HEADERS, 3);
});

/** A target that takes a write only when the test says so. */
class SlowSink extends FakeConn {
  readonly taken: (() => void)[] = [];
  override async write(p: Uint8Array): Promise<void> {
    await super.write(p);
    await new Promise<void>((resolve) => this.taken.push(resolve));
  }
}

test("the window opens only behind what the target has taken", async () => {
  const sink = new SlowSink();
  const { peer } = await h2Tunnel({ dial: () => Promise.resolve(sink as Conn) });
  const ping = async () => {
    await peer.send(h2.raw(h2.PING, 0, 0, new Uint8Array(8)));
    await peer.until(h2.PING);
  };
  const opened = () =>
    peer.frames.filter(({ type, stream }) => type === h2.WINDOW_UPDATE && stream === 1)
      .reduce((sum, { payload }) => sum + h2.numberAt(payload, 0), 0);
  let sent = 0;
  let taken = 0;
  // However the relay cuts it, each frame is taken before the next is sent.
  for (let write = 0; opened() === 0;) {
    await peer.send(h2.raw(h2.DATA, 0, 1, new Uint8Array(16_384)));
    sent += 16_384;
    await ping();
    assert(opened() <= taken);
    for (; taken < sent; write++) {
      while (sink.taken.length === 0) await ping();
      assert(opened() <= taken);
      taken += sink.writes[write].length;
      sink.taken.shift()!();
    }
    await ping();
  }
  assert(taken < 65_536);
  assert(opened() <= taken);
});

test("a client that sends more than its window is told so", async () => {
  const client = await h2Tunnel({ dial: () => Promise.resolve(new SlowSink() as Conn) });
  flood(client, () => h2.raw(h2.DATA, 0, 1, new Uint8Array(16_384)));
  assertEquals((await client.peer.goaway()).code, FLOW);
});

test("what we send keeps within the client's windows", async () => {
  const { peer, targets: [target] } = await h2Tunnel();
  const pushing = target.write(new Uint8Array(1 << 20)).catch(() => {});
  let came = 0;
  while (came < 65_535) {
    const { payload } = await peer.until(h2.DATA, 1);
    assert(payload.length <= 16_384);
    came += payload.length;
  }
  assertEquals(came, 65_535);
  await peer.send(h2.raw(h2.WINDOW_UPDATE, 0, 1, h2.number(10)), h2.raw(h2.PING, 0, 0, new Uint8Array(8)));
  await peer.until(h2.PING);
  const carried = peer.frames.filter(({ type }) => type === h2.DATA).reduce(
    (n, { payload }) => n + payload.length,
    0,
  );
  assertEquals(carried, 65_535, "the connection's window is empty");
  await peer.send(h2.raw(h2.WINDOW_UPDATE, 0, 0, h2.number(100)));
  assertEquals((await peer.until(h2.DATA, 1)).payload.length, 10);
  // A smaller initial window takes back what has been given.
  await peer.send(h2.raw(h2.SETTINGS, 0, 0, concat(Uint8Array.of(0, 4), h2.number(65_535 - 20))));
  await peer.send(h2.raw(h2.WINDOW_UPDATE, 0, 1, h2.number(25)));
  assertEquals((await peer.until(h2.DATA, 1)).payload.length, 5);
  target.abort();
  await pushing;
});
