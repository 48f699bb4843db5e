/**
 * What the kernel relay takes out of the runtime's epoll: a direction that is carried, and nothing else.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { after, test } from "node:test";
import { relay } from "../../src/core/relay.ts";
import { DenoConn } from "../../src/runtime/deno_conn.ts";
import { findDescriptors } from "../../src/runtime/splice/descriptors.ts";
import { epoll, openLibc } from "../../src/runtime/splice/libc.ts";
import { RuntimePoll } from "../../src/runtime/splice/runtime_poll.ts";
import { eventually } from "../support/process.ts";
import { readExactly, readText, writeText } from "../support/traffic.ts";
import { onDeno, socketPair } from "./transports.ts";
import { kernel, patient, splicedJoin } from "./tunnels.ts";

const c = openLibc();
const opened = new Set<number>();
after(() => opened.forEach((fd) => c.close(fd)));
const open = (fd: number) => (opened.add(fd), fd);

const everything = epoll.IN | epoll.RDHUP | epoll.OUT | epoll.EDGE;

/** An epoll like a runtime's, with a source and a sink. */
function setUp(events = everything) {
  const [poll, from, to] = [open(c.epollCreate()), open(c.eventfd()), open(c.eventfd())];
  c.epollAdd(poll, from, events, 1);
  c.epollAdd(poll, to, events, 2);
  happened(poll);
  return { poll, from, to };
}

/** The events since the last look, by their data. */
function happened(poll: number): Record<number, number> {
  const all: Record<number, number> = {};
  c.epollWait(poll, 0, (data, events) => all[data] = events);
  return all;
}

/** What an epoll waits for. */
function waitsFor(poll: number, fd: number): number[] {
  const entries = c.describe(poll).matchAll(/^tfd: *(\d+) events: *([0-9a-f]+)/gm);
  return [...entries].filter((entry) => Number(entry[1]) === fd).map((entry) => parseInt(entry[2], 16));
}

test("arrivals at the source are not heard of any more, those at the sink are", () => {
  const { poll, from, to } = setUp();
  new RuntimePoll(c, [from, poll]).leave(from, to);
  happened(poll); // a change tells how things stand
  c.signal(from);
  assertEquals(happened(poll), {});
  c.signal(to);
  assertEquals(happened(poll), { 2: epoll.IN });
});

test("one direction, then the other", () => {
  const { poll, from, to } = setUp();
  const runtime = new RuntimePoll(c, [poll]);
  runtime.leave(from, to);
  runtime.leave(to, from);
  happened(poll);
  c.signal(from);
  c.signal(to);
  assertEquals(happened(poll), {});
});

test("the data stays what it was, all 64 bits of it", () => {
  const { poll, from, to } = setUp();
  for (const fd of [from, to]) c.epollModify(poll, fd, everything, 0x55f5_92dc_da00n);
  new RuntimePoll(c, [poll]).leave(from, to);
  const data = [...c.describe(poll).matchAll(/data: *([0-9a-f]+)/g)].map(([, data]) => data);
  assertEquals(data, ["55f592dcda00", "55f592dcda00"]);
});

test("an entry that is not for edges is left alone", () => {
  const { poll, from, to } = setUp(epoll.IN | epoll.OUT);
  const before = waitsFor(poll, from);
  new RuntimePoll(c, [poll]).leave(from, to);
  assertEquals(waitsFor(poll, from), before);
});

test("a number that has two entries is left alone: one of them is a file's that is not there any more", () => {
  const { poll, from, to } = setUp();
  open(c.duplicate(from));
  c.close(from);
  assertEquals(c.eventfd(), from, "the lowest number that is free");
  c.epollAdd(poll, from, everything, 3);
  const before = waitsFor(poll, from);
  assertEquals(before.length, 2);
  new RuntimePoll(c, [poll]).leave(from, to);
  assertEquals(waitsFor(poll, from), before);
});

test("an epoll that is not found is looked for once", () => {
  const { poll, from, to } = setUp();
  const looked: number[] = [];
  const libc = { ...c, describe: (fd: number) => (looked.push(fd), c.describe(fd)) };
  const runtime = new RuntimePoll(libc, [from]);
  runtime.leave(from, to);
  runtime.leave(from, to);
  assertEquals([looked, Object.keys(happened(poll))], [[from], []]);
});

test("an epoll with more in it than is worth reading tells nothing", () => {
  const { poll } = setUp();
  for (let n = 0; n < 500; n++) c.epollAdd(poll, open(c.eventfd()), everything, n);
  assertEquals(c.describe(poll), "");
});

/** What the epolls of this process wait for at both ends of a direction, once the kernel relay has it. */
async function carried(): Promise<{ readonly source: number[]; readonly sink: number[] }> {
  const [client, a] = await socketPair();
  const [b, server] = await socketPair();
  const [from, to] = findDescriptors(c, a, b)!;
  const result = relay(a, b, patient, { join: splicedJoin });
  await writeText(client, "ping");
  assertEquals(await readExactly(server, 4), "ping");
  await eventually(() => "carried", () => kernel.carrying === 1 || undefined);
  const waiting = (fd: number) =>
    Array.from({ length: 61 }, (_, n) => n + 3).flatMap((poll) => waitsFor(poll, fd));
  const found = { source: waiting(from), sink: waiting(to) };
  await Promise.all([client.closeWrite(), server.closeWrite()]);
  assertEquals([await readText(server), await readText(client)], ["", ""]);
  assertEquals((await result).failure, undefined);
  client.close();
  server.close();
  return found;
}

const arrivals = (events: number) => (events & epoll.IN) !== 0;

test("no epoll of the runtime waits for what the kernel relay carries", async () => {
  const before = DenoConn.open;
  const { source, sink } = await carried();
  assertEquals(source.filter(arrivals), []);
  assert(sink.some(arrivals), "the other direction");
  assertEquals(DenoConn.open, before);
});

test("among hundreds of sockets Deno's epoll is left alone; on Bun the source is paused all the same", async () => {
  const pairs = [];
  for (let n = 0; n < 130; n++) pairs.push(await socketPair());
  const { source } = await carried();
  assertEquals(source.some(arrivals), onDeno);
  for (const conn of pairs.flat()) conn.close();
});
