/**
 * Plain requests inside HTTP/2 over sockets, with `node:http2` as the client: bodies of any size, and what is shared.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import type { Buffer } from "node:buffer";
import http2, { type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { test } from "node:test";
import { concat } from "../support/bytes.ts";
import { blob, sha256, webOrigin } from "../support/origins.ts";
import { proxy } from "./proxying.ts";
import { ok, origin, server } from "./talk.ts";

/** A client's connection to a proxy, and how it asks. */
function client({ hostname, port }: { hostname: string; port: number }) {
  const session = http2.connect(`http://${hostname}:${port}`);
  session.on("error", () => {});
  return {
    session,
    async ask(at: string, more: OutgoingHttpHeaders = {}, body?: Uint8Array) {
      const fields = { ":scheme": "http", ":authority": at, ":path": "/", ":method": "GET", ...more };
      const stream = session.request(fields, { endStream: body === undefined });
      if (body !== undefined) stream.end(body);
      const chunks: Buffer[] = [];
      let headers: IncomingHttpHeaders & { ":status"?: number } = {};
      stream.on("response", (given) => headers = given);
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      await new Promise((resolve, reject) => {
        stream.on("end", resolve);
        stream.on("error", reject);
      });
      return { status: headers[":status"], headers, body: concat(...chunks) };
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}

for (const length of [{ "content-length": blob.length }, {}]) {
  test(`ten bodies there and back at once, ${"content-length" in length ? "with" : "without"} a length`, async () => {
    await using web = await webOrigin();
    await using hopline = await proxy();
    using h2 = client(hopline.at);
    const asking = Array.from(
      { length: 10 },
      () => h2.ask(web.address, { ...length, ":method": "POST", ":path": "/mirror" }, blob),
    );
    for (const { status, body } of await Promise.all(asking)) {
      assertEquals([status, sha256(body)], [200, sha256(blob)]);
    }
    const { protocol, method, status } = await hopline.logged("tunnel.closed", 10);
    assertEquals([protocol, method, status], ["h2", "POST", 200]);
  });
}

test("streams one after another share a connection to their server, and users do not", async () => {
  await using web = await origin(() => ok("fine"));
  const users = ["alice", "bob"].map((username) => ({ username, password: "s3cret" }));
  await using hopline = await proxy({ listeners: [{ address: "127.0.0.1:0", users }] });
  using h2 = client(hopline.at);
  const login = (user: string) => ({ "proxy-authorization": `Basic ${btoa(`${user}:s3cret`)}` });
  assertEquals((await h2.ask(web.at)).status, 407);
  for (const user of ["alice", "alice", "bob"]) {
    assertEquals((await h2.ask(web.at, login(user))).status, 200);
  }
  assertEquals(web.requests.map(({ connection }) => connection), [0, 0, 1]);
  assertEquals(web.requests.flatMap(({ all }) => all("proxy-authorization")), []);
  const { user } = await hopline.logged("tunnel.closed", 3);
  assertEquals(user, "bob");
});

test("a server that is gone when it is asked again is asked once more", async () => {
  let asked = 0;
  await using web = await server(async (talk) => {
    for (;;) {
      await talk.message();
      if (++asked === 2) return void talk.socket.destroy();
      talk.send(ok());
    }
  });
  await using hopline = await proxy();
  using h2 = client(hopline.at);
  assertEquals((await h2.ask(web.at)).status, 200);
  assertEquals((await h2.ask(web.at)).status, 200);
  assertEquals(asked, 3);
});

test("a hop that takes requests in absolute form gets them from HTTP/2 too", async () => {
  await using hop = await origin(() => ok("by the hop"));
  await using hopline = await proxy({ chains: { out: [`http://a:b@${hop.at}?forward=absolute`] } });
  using h2 = client(hopline.at);
  assertEquals((await h2.ask("web.example", { ":path": "/x" })).status, 200);
  assertEquals(hop.requests[0].first, "GET http://web.example/x HTTP/1.1");
  assertEquals(hop.requests[0].field("proxy-authorization"), `Basic ${btoa("a:b")}`);
});

test("Forwarded is told where the listener says so, and a request that comes back is a loop", async () => {
  await using web = await origin();
  await using hopline = await proxy({ listeners: [{ address: "127.0.0.1:0", forwarded: true }] });
  using h2 = client(hopline.at);
  await h2.ask(web.at);
  assertMatch(web.requests[0].field("forwarded")!, /^for=127\.0\.0\.1$/);
  const again = await h2.ask(web.at, { via: web.requests[0].field("via")! });
  assertEquals(again.status, 508);
});

test("a configuration that is replaced lets streams finish, and says GOAWAY", async () => {
  let answer = () => {};
  await using web = await origin((_request, talk) => {
    answer = () => talk.send(ok("late"));
  });
  await using hopline = await proxy();
  using h2 = client(hopline.at);
  const asking = h2.ask(web.at);
  while (web.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const away = new Promise((resolve) => h2.session.on("goaway", resolve));
  await hopline.server.replace({ listeners: ["127.0.0.1:0"] });
  await away;
  answer();
  assertEquals(new TextDecoder().decode((await asking).body), "late");
});
