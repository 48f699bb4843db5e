/**
 * Whose fault it is that nothing moves: the client's or the server's; and clients that leave while they are worked for.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import http2 from "node:http2";
import { test } from "node:test";
import type { ProxyError } from "../../mod.ts";
import { formatHash, hashPassword } from "../../src/passwords.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { nowhere, proxy } from "./proxying.ts";
import { server, type Talk } from "./talk.ts";

const get = (at: string) => `GET http://${at}/ HTTP/1.1\r\nHost: x\r\n\r\n`;

test("a client that stops within its body is a 408, and the server is not to blame", async () => {
  await using web = await server((talk) => void talk.message().catch(() => {}));
  await using hopline = await proxy({ timeouts: { idle: "200ms" } });
  using client = await hopline.client();
  client.send(`POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc`);
  const answer = await client.message();
  assertEquals(answer.first, "HTTP/1.1 408 Request Timeout");
  assertMatch(answer.field("proxy-status")!, /^hopline; error=http_request_error; /);
  assertEquals([answer.field("connection"), await client.ending()], ["close", "fin"]);
  const { status, reason } = await hopline.logged("tunnel.closed");
  assertEquals([status, reason], [408, "the client has been idle for 0.2 s"]);
});

test("a client that does not take its response is to blame for that", async () => {
  await using web = await server(async (talk) => {
    await talk.message();
    talk.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n", new Uint8Array(1 << 26));
  });
  await using hopline = await proxy({ timeouts: { idle: "1s" } });
  using client = await hopline.client();
  client.socket.pause();
  client.send(get(web.at));
  const { status, reason } = await hopline.logged("tunnel.closed");
  assertEquals([status, reason], [200, "the client has been idle for 1 s"]);
});

test("a client that resets while its target is dialled ends the dial", async () => {
  const way = nowhere();
  await using hopline = await proxy({}, way);
  using client = await hopline.client();
  client.send(get("target.example"));
  await way.asked;
  client.socket.resetAndDestroy();
  assertEquals((await way.given as ProxyError).side, "client");
  const { method, target, error } = await hopline.logged("tunnel.closed");
  assertEquals([method, target, error], ["GET", "target.example:80", undefined]);
});

test("a stream that is reset while its target is dialled ends the dial, of a tunnel and of a request", async () => {
  for (
    const fields of [{ ":method": "CONNECT", ":authority": "target.example:80" }, {
      ":path": "/",
      ":scheme": "http",
      ":authority": "target.example",
    }]
  ) {
    const way = nowhere();
    await using hopline = await proxy({}, way);
    const session = http2.connect(`http://${hopline.at.hostname}:${hopline.at.port}`);
    try {
      const stream = session.request(fields, { endStream: false });
      stream.on("error", () => {});
      await way.asked;
      stream.close(http2.constants.NGHTTP2_CANCEL);
      assertEquals((await way.given as ProxyError).side, "client");
      const { protocol, reason } = await hopline.logged("tunnel.closed");
      assertEquals([protocol, reason], ["h2", "the stream was reset (CANCEL)"]);
    } finally {
      session.destroy();
    }
  }
});

test("a stream that is reset while its password is hashed is not dialled for", async () => {
  using directory = temporaryDirectory();
  const file = directory.write("users.txt", `alice:${formatHash(await hashPassword("secret"))}\n`);
  let dials = 0;
  const dialer = { dial: () => Promise.reject(new Error(`dial ${++dials}`)) };
  await using hopline = await proxy({ listeners: [{ address: "127.0.0.1:0", users: { file } }] }, { dialer });
  const session = http2.connect(`http://${hopline.at.hostname}:${hopline.at.port}`);
  try {
    const authorization = `Basic ${btoa("alice:secret")}`;
    const fields = {
      ":method": "CONNECT",
      ":authority": "x.example:80",
      "proxy-authorization": authorization,
    };
    const [lost, kept] = [1, 2].map(() => session.request(fields, { endStream: false }));
    lost.on("error", () => {});
    kept.on("error", () => {});
    // A stream is only reset once it has been opened.
    setTimeout(() => lost.close(http2.constants.NGHTTP2_CANCEL));
    const status = await new Promise((resolve) => kept.on("response", (head) => resolve(head[":status"])));
    assertEquals([status, dials], [502, 1]);
    const { reason, user } = await hopline.logged("tunnel.closed");
    assertEquals([reason, user], ["the stream was reset (CANCEL)", "alice"]);
  } finally {
    session.destroy();
  }
});

const leaving: [how: string, leave: (client: Talk) => void][] = [
  ["resets", (client) => void client.socket.resetAndDestroy()],
  ["closes", (client) => void client.socket.destroy()],
];
for (const [how, leave] of leaving) {
  for (const then of ["ends it", "goes on"] as const) {
    test(`a client that ${how} has left its stream of events, whether the server then ${then} or not`, async () => {
      await using web = await server(async (talk) => {
        await talk.message();
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
      });
      await using hopline = await proxy();
      using client = await hopline.client();
      client.send(get(web.at));
      await client.through("data: 1\n\n\r\n");
      leave(client);
      // Hopline runs in this process, and so hears of it meanwhile.
      await new Promise((resolve) => setTimeout(resolve, 50));
      if (then === "ends it") web.talks[0].socket.end();
      await web.talks[0].ending();
      const { status, error, reason } = await hopline.logged("tunnel.closed");
      assertEquals([status, error], [200, undefined]);
      assertMatch(
        reason,
        how === "resets" ? /reset|closed/ : /^the client had ended|^the response has been idle/,
      );
      assertEquals(hopline.entries.filter(({ event }) => event === "tunnel.failed"), []);
    });
  }
}
