/**
 * Plain requests inside HTTP/2, frame by frame: what their server gets, and what becomes of their stream.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import type { Conn } from "../../src/core/conn.ts";
import { HpackDecoder } from "../../src/protocols/h2_hpack.ts";
import { concat, fromUtf8, utf8 } from "../support/bytes.ts";
import * as h2 from "../support/h2_peer.ts";
import { eventually } from "../support/process.ts";
import { ending, readExactly, writeText } from "../support/traffic.ts";
import { type Client, h2Client, type ListenerOptions } from "./h2_client.ts";

const END = 1;
const request = { ":method": "GET", ":scheme": "http", ":authority": "a.example", ":path": "/x?y" };
const post = { ...request, ":method": "POST" };

async function connected(options?: ListenerOptions): Promise<Client> {
  const client = h2Client(options);
  await client.peer.greet();
  return client;
}

/** Waits for the `n`th server (from 0), and reads through `mark` from it. */
async function arrived({ targets }: Client, mark: string, n = 0): Promise<string> {
  const target = await eventually(`server ${n}`, () => targets[n]);
  let text = "";
  while (!text.includes(mark)) text += await readExactly(target, 1);
  return text;
}

const decoders = new WeakMap<h2.RawPeer, HpackDecoder>();

/** The next HEADERS of a stream. */
async function fieldsOf(peer: h2.RawPeer, stream: number) {
  const { payload, flags } = await peer.until(h2.HEADERS, stream);
  const decoder = decoders.get(peer) ?? new HpackDecoder();
  decoders.set(peer, decoder);
  const fields = Object.fromEntries(decoder.decode(payload, 1 << 16)!);
  return { status: Number(fields[":status"]), fields, end: (flags & END) !== 0 };
}

/** DATA of a stream to its end. */
async function dataOf(peer: h2.RawPeer, stream: number): Promise<string> {
  let text = "";
  for (;;) {
    const { payload, flags } = await peer.until(h2.DATA, stream);
    text += fromUtf8(payload);
    if (flags & END) return text;
  }
}

test("a request goes on as one of HTTP/1, and its response comes back", async () => {
  const client = await connected();
  const { peer, asked } = client;
  await peer.send(h2.headers(1, { ...request, "te": "trailers", "proxy-authorization": "Basic eDp5" }, true));
  const head = await arrived(client, "\r\n\r\n");
  assertMatch(head, /^GET \/x\?y HTTP\/1\.1\r\nHost: a\.example\r\nVia: 2 hopline-\w+\r\n\r\n$/);
  await writeText(
    client.targets[0],
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x\r\nX: y\r\n\r\nhello",
  );
  const { status, fields, end } = await fieldsOf(peer, 1);
  assertEquals([status, fields["content-length"], fields["x"], end], [200, "5", undefined, false]);
  assertMatch(fields["via"], /^1\.1 hopline-/);
  assertEquals("connection" in fields, false);
  assertEquals(await dataOf(peer, 1), "hello");
  assertEquals(asked[0].request?.method, "GET");
  assertEquals(asked[0].target, { hostname: "a.example", port: 80 });
});

test("crumbs of a cookie are one field, Host stands in for :authority, OPTIONS * asks the server", async () => {
  const client = await connected();
  const { peer } = client;
  const crumbs = concat(
    h2.block({ ":method": "GET", ":scheme": "http", ":path": "/", "host": "B.example:81" }),
    h2.block({ "cookie": "a=b" }),
    h2.block({ "cookie": "c=d" }),
  );
  await peer.send(h2.raw(h2.HEADERS, 4 | END, 1, crumbs));
  const head = await arrived(client, "\r\n\r\n");
  assertMatch(head, /^GET \/ HTTP\/1\.1\r\nHost: B\.example:81\r\ncookie: a=b; c=d\r\n/i);
  await peer.send(h2.headers(3, { ...request, ":method": "OPTIONS", ":path": "*" }, true));
  assertMatch(await arrived(client, "\r\n\r\n", 1), /^OPTIONS \* HTTP\/1\.1\r\nHost: a\.example\r\n/);
});

test("OPTIONS of the proxy, and what may not be forwarded any further", async () => {
  const { peer, asked } = await connected();
  await peer.send(h2.headers(1, { ":method": "OPTIONS", ":scheme": "http", ":path": "*" }, true));
  const options = await fieldsOf(peer, 1);
  assertEquals([options.status, options.fields["allow"], options.end], [200, "CONNECT, OPTIONS", true]);
  await peer.send(
    h2.headers(3, { ...request, ":method": "TRACE", "max-forwards": "0", "cookie": "s" }, true),
  );
  assertEquals((await fieldsOf(peer, 3)).fields["content-type"], "message/http");
  assertEquals(
    await dataOf(peer, 3),
    "TRACE http://a.example/x?y HTTP/2\r\nmax-forwards: 0\r\n\r\n",
  );
  assertEquals(asked, []);
});

test("a body of any length goes on in chunks, with its trailers, and theirs come back", async () => {
  const client = await connected();
  const { peer } = client;
  await peer.send(h2.headers(1, { ...post, "trailer": "x-sum" }), h2.raw(h2.DATA, 0, 1, "abc"));
  assertMatch(await arrived(client, "\r\n\r\n"), /\r\ntrailer: x-sum\r\nTransfer-Encoding: chunked\r\n/);
  assertEquals(await readExactly(client.targets[0], 8), "3\r\nabc\r\n");
  await peer.send(h2.headers(1, { "x-sum": "1", "content-length": "9" }, true));
  assertEquals(await readExactly(client.targets[0], 15), "0\r\nx-sum: 1\r\n\r\n");
  await writeText(
    client.targets[0],
    "HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: 2\r\n\r\n",
  );
  const { fields } = await fieldsOf(peer, 1);
  assertEquals([fields["trailer"], fields["transfer-encoding"]], ["X-End", undefined]);
  assertEquals(fromUtf8((await peer.until(h2.DATA, 1)).payload), "ok");
  const trailers = await fieldsOf(peer, 1);
  assertEquals([trailers.fields, trailers.end], [{ "x-end": "2" }, true]);
});

test("Expect goes on, and every 1xx comes back", async () => {
  const client = await connected();
  const { peer } = client;
  await peer.send(h2.headers(1, { ...post, "expect": "100-continue", "content-length": "3" }));
  assertMatch(await arrived(client, "\r\n\r\n"), /\r\nexpect: 100-continue\r\nContent-Length: 3\r\n/);
  await writeText(client.targets[0], "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
  const early = await fieldsOf(peer, 1);
  assertEquals([early.status, early.fields["link"], early.end], [103, "x", false]);
  assertEquals((await fieldsOf(peer, 1)).status, 100);
  await peer.send(h2.raw(h2.DATA, END, 1, "abc"));
  assertEquals(await readExactly(client.targets[0], 3), "abc");
  await writeText(client.targets[0], "HTTP/1.1 204 Done\r\n\r\n");
  const { status, end } = await fieldsOf(peer, 1);
  assertEquals([status, end], [204, true]);
});

for (const [method, status] of [["HEAD", "200 OK"], ["GET", "304 Same"]] as const) {
  test(`${method} that is answered ${status} has a length and no body`, async () => {
    const client = await connected();
    const { peer } = client;
    await peer.send(h2.headers(1, { ...request, ":method": method }, true));
    await arrived(client, "\r\n\r\n");
    await writeText(client.targets[0], `HTTP/1.1 ${status}\r\nContent-Length: 7\r\n\r\n`);
    const { fields, end } = await fieldsOf(peer, 1);
    assertEquals([fields["content-length"], end], ["7", true]);
  });
}

test("streams one after another share a connection to their server, streams at once do not", async () => {
  const client = await connected();
  const { peer, asked } = client;
  const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  await peer.send(h2.headers(1, request, true), h2.headers(3, request, true));
  for (const n of [0, 1]) {
    await arrived(client, "\r\n\r\n", n);
    await writeText(client.targets[n], answer);
    await fieldsOf(peer, 2 * n + 1);
  }
  await peer.send(h2.headers(5, request, true));
  await eventually("the third", () => asked[2]);
  await arrived(client, "\r\n\r\n", 0);
  assertEquals(client.targets.length, 2);
});

for (
  const [what, first, more] of [
    ["less than its length", { "content-length": "4" }, [h2.raw(h2.DATA, END, 1, "abc")]],
    ["more than its length", { "content-length": "2" }, [h2.raw(h2.DATA, 0, 1, "abc")]],
    ["trailers before its length", { "content-length": "4" }, [h2.headers(1, { "x": "y" }, true)]],
    ["trailers that do not end it", {}, [h2.headers(1, { "x": "y" })]],
    ["a pseudo-header field in trailers", {}, [h2.headers(1, { ":status": "200" }, true)]],
    ["Connection in trailers", {}, [h2.headers(1, { "connection": "x" }, true)]],
    ["a control character in trailers", {}, [h2.headers(1, { "x": "a\x02b" }, true)]],
  ] as [string, Record<string, string>, Uint8Array[]][]
) {
  test(`a body with ${what} is PROTOCOL_ERROR, and never whole at its server`, async () => {
    const client = await connected();
    const { peer } = client;
    await peer.send(h2.headers(1, { ...post, ...first }));
    await arrived(client, "\r\n\r\n");
    await peer.send(...more);
    assertEquals(await peer.resetOf(1), 1);
    assertEquals(await ending(client.targets[0]), "error");
    await peer.send(h2.connectTo(3, "a:1"));
    await peer.until(h2.HEADERS, 3);
  });
}

for (
  const [what, fields, end = true] of [
    ["a length that END_STREAM denies", { ...request, "content-length": "1" }],
    ["two lengths", { ...post, "content-length": "1, 2" }, false],
    ["a method with a space", { ...request, ":method": "GET /" }],
    ["a path with a space", { ...request, ":path": "/ HTTP/1.1" }],
    ["a path with a fragment", { ...request, ":path": "/x#y" }],
    ["a path that is none", { ...request, ":path": "x" }],
    ["* for GET", { ...request, ":path": "*" }],
    ["an authority with a path", { ...request, ":authority": "a/b" }],
    ["an authority with a user", { ...request, ":authority": "u:p@a" }],
    ["no authority", { ":method": "GET", ":scheme": "http", ":path": "/" }],
    ["a host that contradicts", { ...request, "host": "b.example" }],
    ["a scheme that is none", { ...request, ":scheme": "ht tp" }],
    ["Upgrade", { ...request, "upgrade": "websocket" }],
    ["a control character in a value", { ...request, "x": "a\x01b" }],
  ] as [string, Record<string, string>, boolean?][]
) {
  test(`a request with ${what} is PROTOCOL_ERROR, and the connection lives`, async () => {
    const { peer, asked } = await connected();
    await peer.send(h2.headers(1, fields, end));
    assertEquals(await peer.resetOf(1), 1);
    assertEquals(asked, []);
    await peer.send(h2.connectTo(3, "a:1"));
    await peer.until(h2.HEADERS, 3);
  });
}

for (
  const [what, fields, status] of [
    ["https", { ...request, ":scheme": "https" }, 501],
    ["ftp", { ...request, ":scheme": "ftp" }, 501],
    ["a port that is none", { ...request, ":authority": "a:0" }, 400],
    ["no credentials", request, 407],
  ] as [string, Record<string, string>, number][]
) {
  test(`a request with ${what} is ${status}, in words, and the connection lives`, async () => {
    const { peer, asked, refused } = await connected({ gate: status === 407 ? () => false : null });
    await peer.send(h2.headers(1, fields, false));
    const { status: got, fields: said } = await fieldsOf(peer, 1);
    assertEquals(got, status);
    assertMatch(said["proxy-status"], /^hopline;.* details=/);
    assert((await dataOf(peer, 1)).length > 1);
    assertEquals(await peer.resetOf(1), 0, "what is still to come of the body is for nobody");
    assertEquals([asked.length, refused.length], [0, 1]);
    await peer.send(h2.headers(3, fields, true));
    assertEquals((await fieldsOf(peer, 3)).status, status);
  });
}

test("a response that is cut short is reset, never ended", async () => {
  const client = await connected();
  const { peer } = client;
  await peer.send(h2.headers(1, request, true));
  await arrived(client, "\r\n\r\n");
  await writeText(client.targets[0], "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
  await peer.until(h2.HEADERS, 1);
  await peer.until(h2.DATA, 1);
  client.targets[0].close();
  assertEquals(await peer.resetOf(1), 2);
});

for (
  const [what, answer, status] of [
    ["nonsense", "nonsense\r\n\r\n", 502],
    ["the end", "", 502],
    ["two lengths that contradict", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 502],
  ] as const
) {
  test(`${what} for a response is ${status}`, async () => {
    const client = await connected();
    const { peer } = client;
    await peer.send(h2.headers(1, request, true));
    await arrived(client, "\r\n\r\n");
    if (answer !== "") await writeText(client.targets[0], answer);
    client.targets[0].close();
    const { status: got, fields } = await fieldsOf(peer, 1);
    assertEquals(got, status);
    assertMatch(fields["proxy-status"], /^hopline; error=/);
  });
}

for (const when of ["waits", "gets its response"]) {
  test(`a client that resets its stream while it ${when} takes the request along`, async () => {
    const client = await connected();
    const { peer } = client;
    await peer.send(h2.headers(1, request, true));
    await arrived(client, "\r\n\r\n");
    if (when !== "waits") {
      await writeText(client.targets[0], "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
      await peer.until(h2.DATA, 1);
    }
    await peer.send(h2.raw(h2.RST_STREAM, 0, 1, h2.number(8)));
    assertEquals(await ending(client.targets[0]), "error");
  });
}

/** Answers a request with a body that never ends, as fast as it is taken; tells how much that was. */
async function pour(target: Conn): Promise<() => number> {
  await writeText(target, "HTTP/1.1 200 OK\r\n\r\n");
  let written = 0;
  const piece = new Uint8Array(16_384);
  (async () => {
    for (;; written += piece.length) await target.write(piece);
  })().catch(() => {});
  return () => written;
}

test("a stalled stream holds its server back, and no sibling, whatever the size of heads", async () => {
  const client = await connected();
  const { peer } = client;
  await peer.send(h2.headers(1, request, true));
  await arrived(client, "\r\n\r\n");
  const written = await pour(client.targets[0]);
  // The stream's window is 65,535 bytes, and so is the connection's, which is given more.
  await peer.send(h2.raw(h2.WINDOW_UPDATE, 0, 0, h2.number(1 << 24)));
  let got = 0;
  while (got < 65_535) got += (await peer.until(h2.DATA, 1)).payload.length;
  assertEquals(got, 65_535);
  for (let stream = 3; stream < 100; stream += 2) {
    await peer.send(h2.headers(stream, request, true));
    await arrived(client, "\r\n\r\n", 1);
    await writeText(
      client.targets[1],
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(8000)}\r\nContent-Length: 2\r\n\r\nok`,
    );
    await peer.until(h2.HEADERS, stream);
    assertEquals(await dataOf(peer, stream), "ok");
  }
  assert(written() < 1 << 20, `${written()} bytes were taken for a stream that takes nothing`);
});

test("heads go out where the connection's window is shut", async () => {
  const client = await connected();
  const { peer } = client;
  await peer.send(h2.headers(1, request, true));
  await arrived(client, "\r\n\r\n");
  await peer.send(h2.raw(h2.SETTINGS, 0, 0, concat(Uint8Array.of(0, 4), h2.number(1 << 20))));
  await pour(client.targets[0]);
  let got = 0;
  while (got < 65_535) got += (await peer.until(h2.DATA, 1)).payload.length;
  await peer.send(h2.headers(3, { ...request, ":method": "HEAD" }, true));
  await arrived(client, "\r\n\r\n", 1);
  await writeText(client.targets[1], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  assertEquals((await fieldsOf(peer, 3)).end, true);
});

test("a server that does not read holds its client back by the stream's window", async () => {
  const [window, much] = [65_536, 1 << 22];
  const client = await connected({ window, memory: undefined });
  const { peer } = client;
  await peer.send(h2.headers(1, { ...post, "content-length": String(much) }));
  await eventually("the server", () => client.targets[0]);
  const piece = new Uint8Array(16_384);
  let credit = window;
  let sent = 0;
  const grow = (frame: h2.RawFrame) => {
    if (frame.type === h2.WINDOW_UPDATE && frame.stream === 1) credit += h2.numberAt(frame.payload, 0);
  };
  while (credit - sent >= piece.length && sent < much) {
    await peer.send(h2.raw(h2.DATA, 0, 1, piece));
    sent += piece.length;
    // Whatever was granted by now stands before the answer to a PING.
    await peer.send(h2.raw(h2.PING, 0, 0, utf8("01234567")));
    for (let frame = await peer.next(); frame!.type !== h2.PING; frame = await peer.next()) grow(frame!);
  }
  assert(sent < much, `${sent} bytes were taken for a server that reads nothing`);
});

test("a stream that is reset while its credentials are looked at is not dialled for", async () => {
  const looked = Promise.withResolvers<boolean>();
  const { peer, asked } = await connected({ gate: () => looked.promise });
  const login = { "proxy-authorization": `Basic ${btoa("a:b")}` };
  await peer.send(h2.headers(1, { ...request, ...login }, true), h2.connectTo(3, "a:1", login));
  for (const stream of [1, 3]) await peer.send(h2.raw(h2.RST_STREAM, 0, stream, h2.number(8)));
  await peer.send(h2.headers(5, { ...request, ...login }, true));
  await peer.send(h2.raw(h2.PING, 0, 0, utf8("01234567")));
  await peer.until(h2.PING);
  looked.resolve(true);
  await eventually("the third stream", () => asked[0]);
  assertEquals(asked.length, 1);
});
