/**
 * HTTP/2 on a listener: what each request gets, and how its tunnel ends (RFC 9113 section 8.5).
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { ProxyError } from "../../src/core/errors.ts";
import { concat, fromUtf8, pieces, utf8 } from "../support/bytes.ts";
import { proxyError } from "../support/errors.ts";
import { gateFor, tunnelFailure } from "../support/gates.ts";
import * as h2 from "../support/h2_peer.ts";
import { HpackDecoder } from "../../src/protocols/h2_hpack.ts";
import { ending, readExactly, readText, writeText } from "../support/traffic.ts";
import { h2Client, h2Tunnel } from "./h2_client.ts";

const END = 1;

/** Reads on to a stream's answer. */
async function answer(peer: h2.RawPeer, stream: number, decoder = new HpackDecoder()) {
  const { payload } = await peer.until(h2.HEADERS, stream);
  const fields = Object.fromEntries(decoder.decode(payload, 1 << 16)!);
  return { status: Number(fields[":status"]), fields };
}

test("a CONNECT stream is a tunnel; each way ends by itself", async () => {
  const { peer, asked, targets: [target] } = await h2Tunnel();
  assertEquals(asked, [{ target: { hostname: "a.example", port: 443 }, user: undefined }]);
  await peer.send(h2.raw(h2.DATA, END, 1, "up and out"));
  assertEquals(await readText(target), "up and out");
  await writeText(target, "down again");
  assertEquals(fromUtf8((await peer.until(h2.DATA, 1)).payload), "down again");
  await target.closeWrite();
  const last = await peer.until(h2.DATA, 1);
  assertEquals([last.flags & END, last.payload.length], [1, 0]);
});

test("the target's end comes first, and the client talks on", async () => {
  const { peer, targets: [target] } = await h2Tunnel();
  await target.closeWrite();
  assertEquals((await peer.until(h2.DATA, 1)).flags & END, 1);
  await peer.send(h2.raw(h2.DATA, 0, 1, "still "), h2.raw(h2.DATA, END, 1, "here"));
  assertEquals(await readText(target), "still here");
});

test("a request with END_STREAM is a tunnel whose client has nothing to say", async () => {
  const { peer, targets } = h2Client();
  await peer.greet();
  await peer.send(h2.headers(1, { ":method": "CONNECT", ":authority": "a:1" }, true));
  assertEquals((await answer(peer, 1)).status, 200);
  assertEquals(await readText(targets[0]), "");
  await writeText(targets[0], "hello");
  assertEquals(fromUtf8((await peer.until(h2.DATA, 1)).payload), "hello");
});

test("a target that resets is CONNECT_ERROR", async () => {
  const { peer, targets: [target] } = await h2Tunnel();
  target.abort();
  assertEquals(await peer.resetOf(1), 0xa);
});

test("a client that resets aborts its target, and no other", async () => {
  const { peer, targets } = await h2Tunnel();
  await peer.send(h2.connectTo(3, "b:2"));
  await peer.until(h2.HEADERS, 3);
  await peer.send(h2.raw(h2.RST_STREAM, 0, 1, h2.number(8)));
  assertEquals(await ending(targets[0]), "error");
  await peer.send(h2.raw(h2.DATA, 0, 3, "alive"));
  assertEquals(await readExactly(targets[1], 5), "alive");
});

test("a connection that is cut aborts its targets", async () => {
  const { peer, targets: [target] } = await h2Tunnel();
  peer.conn.abort();
  assertEquals(await ending(target), "error");
});

test("padding is no data", async () => {
  const { peer, targets: [target] } = await h2Tunnel();
  await peer.send(h2.raw(h2.DATA, 8, 1, concat(Uint8Array.of(3), "data", new Uint8Array(3))));
  assertEquals(await readExactly(target, 4), "data");
});

const whole = () =>
  concat(
    h2.preface,
    h2.raw(h2.SETTINGS, 0, 0),
    h2.connectTo(1, "a:1"),
    h2.raw(h2.DATA, END, 1, "early data"),
  );

for (const size of [1, 2, 7, 1000]) {
  test(`everything at once, in pieces of ${size}`, async () => {
    const { peer, targets } = h2Client({ memory: { chunk: size } });
    for (const piece of pieces(whole(), size)) await peer.send(piece);
    assertEquals((await answer(peer, 1)).status, 200);
    assertEquals(await readText(targets[0]), "early data");
  });
}

test("a refused dial discards what came early, and keeps the connection", async () => {
  const { peer } = h2Client({
    dial: () => Promise.reject(tunnelFailure("refused", "it is closed").at(2, "exit")),
  });
  await peer.send(whole());
  const { status, fields } = await answer(peer, 1);
  assertEquals(status, 502);
  assertStringIncludes(fields["proxy-status"], "error=connection_refused");
  assertEquals(fields["content-type"], "text/plain; charset=utf-8");
  assertEquals("connection" in fields, false);
  const body = await peer.until(h2.DATA, 1);
  assertEquals(fromUtf8(body.payload), "hop 2, exit, connect: it is closed\n");
  await peer.send(h2.connectTo(3, "a:1"));
  assertEquals((await answer(peer, 3)).status, 502);
});

const connect = { ":method": "CONNECT", ":authority": "a:1" };

for (
  const [what, fields] of Object.entries<Record<string, string>>({
    "CONNECT with :path": { ...connect, ":path": "/" },
    "CONNECT with :scheme": { ...connect, ":scheme": "https" },
    "CONNECT without :authority": { ":method": "CONNECT" },
    "extended CONNECT": { ...connect, ":protocol": "websocket" },
    "no :method": { ":authority": "a:1" },
    "GET without :path": { ":method": "GET", ":scheme": "http", ":authority": "a" },
    "a pseudo-header field behind others": { "x": "y", ...connect },
    "a field in upper case": { ...connect, "X-Y": "z" },
    "a field with a space": { ...connect, "x y": "z" },
    "a line break in a value": { ...connect, "x": "a\r\nb" },
    "NUL in a value": { ...connect, "x": "a\0b" },
    "a control character in a value": { ...connect, "x": "a\x1bb" },
    "a value that begins with a space": { ...connect, "x": " a" },
    "Connection": { ...connect, "connection": "close" },
    "Transfer-Encoding": { ...connect, "transfer-encoding": "chunked" },
    "TE other than trailers": { ...connect, "te": "gzip" },
  })
) {
  test(`${what} is reset, and the connection lives`, async () => {
    const { peer, asked } = h2Client();
    await peer.greet();
    await peer.send(h2.headers(1, fields));
    assertEquals(await peer.resetOf(1), 1);
    await peer.send(h2.connectTo(3, "a:1"));
    await peer.until(h2.HEADERS, 3);
    assertEquals(asked.length, 1);
  });
}

for (
  const authority of [
    "a",
    "a:0",
    "a:65536",
    "a:+80",
    "a b:1",
    "user@a:1",
    "[127.0.0.1]:1",
    "http://a:1",
    "a:1/x",
  ]
) {
  test(`CONNECT ${authority} is 400`, async () => {
    const { peer, asked } = h2Client();
    await peer.greet();
    await peer.send(h2.connectTo(1, authority));
    assertEquals((await answer(peer, 1)).status, 400);
    assertEquals(asked, []);
  });
}

for (const slow of [false, true]) {
  const how = slow ? ", by a gate that takes its time" : "";
  test(`every stream authenticates by itself, and a 407 is no reason to end the others${how}`, async () => {
    const known = gateFor("alice", "se:cret");
    const gate = slow ? (name: string, password: string) => Promise.resolve(known(name, password)) : known;
    const { peer, asked, refused } = h2Client({ gate });
    const decoder = new HpackDecoder();
    const basic = (text: string) => ({ "proxy-authorization": `Basic ${btoa(text)}` });
    await peer.greet();
    await peer.send(h2.connectTo(1, "a:1"));
    const { status, fields } = await answer(peer, 1, decoder);
    assertEquals(status, 407);
    assertStringIncludes(fields["proxy-authenticate"], "Basic realm=");
    await peer.send(h2.connectTo(3, "a:1", basic("alice:wrong")));
    assertEquals((await answer(peer, 3, decoder)).status, 407);
    await peer.send(h2.connectTo(5, "a:1", basic("alice:se:cret")));
    assertEquals((await answer(peer, 5, decoder)).status, 200);
    await peer.send(h2.connectTo(7, "a:1"));
    assertEquals((await answer(peer, 7, decoder)).status, 407);
    assertEquals(asked.map(({ user }) => user), ["alice"]);
    assertEquals(refused.map((error) => error.message), [
      "credentials are missing",
      'wrong credentials for user "alice"',
      "credentials are missing",
    ]);
  });
}

test("a listener that retires sends GOAWAY, lets its streams go on, and ends behind the last one", async () => {
  const { peer, targets: [target], retire, handled, asked } = await h2Tunnel();
  retire.abort();
  const goaway = await peer.until(h2.GOAWAY);
  assertEquals([h2.numberAt(goaway.payload, 0), h2.numberAt(goaway.payload, 4)], [1, 0]);
  await peer.send(h2.connectTo(3, "late:1"), h2.raw(h2.DATA, END, 1, "to the end"));
  assertEquals(await readText(target), "to the end");
  await target.closeWrite();
  assertEquals((await peer.until(h2.DATA, 1)).flags & END, 1);
  assertEquals(await peer.next(), null);
  peer.conn.close();
  assertEquals(await handled, undefined);
  assertEquals(asked.length, 1);
});

test("a client that asks for nothing is ended by the handshake's deadline", async () => {
  const { peer, handled } = h2Client({ handshake: 50 });
  await peer.greet();
  assertEquals((await peer.goaway()).code, 0);
  assertEquals(proxyError(await handled).code, "timeout");
});

test("a connection without streams is ended after a while", async () => {
  const { peer, targets: [target], handled } = await h2Tunnel({ idle: 50 });
  await peer.send(h2.raw(h2.DATA, END, 1));
  await target.closeWrite();
  assertEquals((await peer.goaway()).code, 0);
  assertEquals(await peer.next(), null);
  peer.conn.close();
  assertEquals(await handled, undefined);
});

test("an error of another class than ProxyError never gets out", async () => {
  const { peer, handled } = h2Client();
  await peer.send(utf8("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"));
  assertEquals((await peer.goaway()).code, 1);
  peer.conn.close();
  assertEquals(await handled instanceof ProxyError, true);
});
