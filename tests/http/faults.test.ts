/**
 * Servers that break the rules: the client gets a 502 that says so while it has heard nothing, and a broken connection
 * afterwards; never a message that only looks whole.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { proxy } from "./proxying.ts";
import { aborted, type Origin, origin, server } from "./talk.ts";

/** A server that answers every request with these bytes, and then ends, or resets, or stays. */
function saying(answer: string, then: "ends" | "resets" | "stays" = "stays"): Promise<Origin> {
  return server(async (talk, connection, requests) => {
    for (;;) {
      const request = await talk.message();
      requests.push({ ...request, connection });
      talk.send(answer);
      if (then === "ends") talk.socket.end();
      if (then === "resets") setTimeout(() => talk.socket.resetAndDestroy(), 50);
    }
  });
}

const response = (fields: string, body = "") => `HTTP/1.1 200 OK\r\n${fields}\r\n${body}`;

const refused: [name: string, answer: string, then?: "ends" | "resets"][] = [
  ["nothing", "", "ends"],
  ["a reset", "", "resets"],
  ["garbage", "\x16\x03\x01 this is not HTTP\r\n\r\n"],
  ["HTTP/0.9", "<html></html>\n", "ends"],
  ["another protocol, told by its first line", "SSH-2.0-OpenSSH_9.2\r\n"],
  ["HTTP/2", "HTTP/2 200 OK\r\n\r\n"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a head that ends early", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", "ends"],
  ["a head beyond 64 KiB", response(`X: ${"a".repeat(70_000)}\r\n`)],
  ["endless fields", `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(15_000)}`],
  ["bare LFs", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"],
  ["a bare LF between fields", response("X: y\nContent-Length: 3\r\n", "abc")],
  ["a bare CR in a field", response("X: y\rz\r\nContent-Length: 3\r\n", "abc")],
  ["NUL in a field", response("X: \0\r\nContent-Length: 3\r\n", "abc")],
  ["a space before the colon", response("Content-Length : 3\r\n", "abc")],
  ["a folded field", response("X: y\r\n z\r\nContent-Length: 3\r\n", "abc")],
  ["both lengths", response("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")],
  ["lengths that contradict", response("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd")],
  ["a length of +3", response("Content-Length: +3\r\n", "abc")],
  ["an empty length", response("Content-Length:\r\n", "abc")],
  ["a length beyond 2^53", response("Content-Length: 9007199254740993\r\n", "abc")],
  ["another coding", response("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")],
  ["identity", response("Transfer-Encoding: identity\r\n", "abc"), "ends"],
  ["chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
  [
    "101 that nobody asked for",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  ],
  ["a flood of 1xx", "HTTP/1.1 102 Processing\r\n\r\n".repeat(40)],
  ["407, which only a proxy may", "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"],
];
for (const [name, answer, then] of refused) {
  test(`${name}: 502`, async () => {
    await using web = await saying(answer, then);
    await using hopline = await proxy();
    using client = await hopline.client();
    for (let round = 1; round <= 2; round++) {
      client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      let message = await client.message();
      while (/^HTTP\/1\.1 1/.test(message.first)) message = await client.message();
      assertEquals(message.first, "HTTP/1.1 502 Bad Gateway");
      assertMatch(message.field("proxy-status")!, /^hopline; error=[a-z_]+; details="/);
      assertEquals(message.all("proxy-authenticate"), []);
      const { error, method, status } = await hopline.logged("tunnel.failed", round);
      assertEquals([method, status, error.hop], ["GET", 502, 0]);
    }
    assertEquals(web.talks.length, 2, "a connection that broke the rules is not used again");
    await web.talks[1].ending();
  });
}

const cut: [name: string, answer: string, then?: "ends" | "resets"][] = [
  ["a body that ends early", response("Content-Length: 10\r\n", "abc"), "ends"],
  ["a body that is reset", response("Content-Length: 10\r\n", "abc"), "resets"],
  ["a body to the end that is reset", response("", "abc"), "resets"],
  ["chunks that end early", response("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"), "ends"],
  ["a chunk that ends early", response("Transfer-Encoding: chunked\r\n", "9\r\nabc"), "ends"],
  [
    "trailers that end early",
    response("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX: y\r\n"),
    "ends",
  ],
  ["a chunk that is longer", response("Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n")],
  ["a size that is none", response("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\nxyz\r\n0\r\n\r\n")],
  ["a bare LF behind a chunk", response("Transfer-Encoding: chunked\r\n", "3\r\nabc\n0\r\n\r\n")],
  [
    "a trailer that is no field",
    response("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nHTTP/1.1 200\r\n\r\n"),
  ],
];
for (const version of ["1.1", "1.0"]) {
  for (const [name, answer, then] of cut) {
    test(`${name}: the client of HTTP/${version} sees a broken message`, async () => {
      await using web = await saying(answer, then);
      await using hopline = await proxy();
      using client = await hopline.client();
      client.send(`GET http://${web.at}/ HTTP/${version}\r\nHost: x\r\n\r\n`);
      assertMatch(await client.through("\r\n\r\n"), /^HTTP\/1\.1 200 OK\r\n/);
      assertEquals(await client.ending(), aborted);
      // Without a reset, length and chunks tell a client of 1.1 that it is not whole; one of 1.0 can only be told by it.
      assertEquals(new TextDecoder().decode(client.received).includes("\r\n0\r\n"), false);
      const { error, status } = await hopline.logged("tunnel.failed");
      assertEquals([status, error.stage], [200, "relay"]);
    });
  }
}

test("a second response in the first one's place is never an answer", async () => {
  const split = `${response("Content-Length: 2\r\n", "ok")}${response("Content-Length: 4\r\n", "evil")}`;
  await using web = await saying(split);
  await using hopline = await proxy();
  using client = await hopline.client();
  for (let round = 1; round <= 3; round++) {
    client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    assertEquals((await client.message()).text, "ok");
    assertEquals(client.size, 0);
  }
  assertEquals(web.talks.length, 3, "a connection on which more came than was asked for is not used again");
});

test("what comes on an idle connection is no answer either", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  const request = `GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
  using client = await hopline.client();
  client.send(request);
  assertEquals((await client.message()).text, "ok");
  web.talks[0].send(response("Content-Length: 4\r\n", "evil"));
  // Meanwhile it arrives.
  using other = await hopline.client();
  other.send(request);
  await other.message();
  client.send(request);
  assertEquals((await client.message()).text, "ok");
  assertEquals(web.requests.map(({ connection }) => connection), [0, 1, 2]);
});

test("a server that can't be reached is a 502, and the connection goes on", async () => {
  const gone = await server(() => {});
  await gone[Symbol.asyncDispose]();
  await using web = await saying(response("Content-Length: 2\r\n", "ok"));
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(`POST http://${gone.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc`);
  client.send(`HEAD http://${gone.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  const refused = await client.message();
  assertEquals([refused.first, refused.field("connection")], ["HTTP/1.1 502 Bad Gateway", undefined]);
  assertMatch(refused.field("proxy-status")!, /connection_refused/);
  assertEquals((await client.message({ bodiless: true })).first, "HTTP/1.1 502 Bad Gateway");
  assertEquals((await client.message()).text, "ok");
});

test("a server that stops listening to a body may still answer", async () => {
  await using web = await server(async (talk) => {
    await talk.through("\r\n\r\n");
    talk.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig");
  });
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(
    `POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n${"a".repeat(1000)}`,
  );
  const answer = await client.message();
  assertEquals([answer.first, answer.text, answer.field("connection")], [
    "HTTP/1.1 413 Too Large",
    "big",
    "close",
  ]);
  assertEquals(await client.ending(), "fin");
});
