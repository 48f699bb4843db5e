/**
 * A hop with `forward=absolute`: requests for port 80 go to it as they are, everything else by CONNECT.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { chain, http } from "../../mod.ts";
import { freePort } from "../support/temporary.ts";
import { proxy } from "./proxying.ts";
import { ok, origin } from "./talk.ts";

const basic = `Basic ${btoa("office:pa:ss")}`;
const via = (at: string, more = "") => ({
  chains: { out: [`http://office:pa%3Ass@${at}?forward=absolute${more}`] },
});

test("a request for port 80 goes to the hop in absolute form, with its credentials and not the client's", async () => {
  await using hop = await origin();
  await using hopline = await proxy({ ...via(hop.at), listeners: ["http://alice:s3cret@127.0.0.1:0"] });
  using client = await hopline.client();
  const login = `Proxy-Authorization: Basic ${btoa("alice:s3cret")}\r\n`;
  const lines: [sent: string, went: string, host: string][] = [
    ["GET http://u:p@name.test/a?b#c", "GET http://name.test/a?b HTTP/1.1", "name.test"],
    ["GET http://name.test:80", "GET http://name.test/ HTTP/1.1", "name.test"],
    ["GET http://[2001:db8::1]/", "GET http://[2001:db8::1]/ HTTP/1.1", "[2001:db8::1]"],
    ["OPTIONS http://name.test", "OPTIONS http://name.test HTTP/1.1", "name.test"],
    ["OPTIONS http://name.test/", "OPTIONS http://name.test/ HTTP/1.1", "name.test"],
  ];
  for (const [sent, went, host] of lines) {
    client.send(`${sent} HTTP/1.1\r\nHost: x\r\n${login}\r\n`);
    assertEquals((await client.message()).text, "ok");
    const { first, field } = hop.requests.at(-1)!;
    assertEquals([first, field("host"), field("proxy-authorization")], [went, host, basic]);
    assertMatch(field("via")!, /hopline/);
  }
  assertEquals(
    new Set(hop.requests.map(({ connection }) => connection)).size,
    2,
    "a connection for each target",
  );
  const line = await hopline.logged("tunnel.closed");
  assertEquals([line.target, line.user, line.via], ["name.test:80", "alice", [`http://${hop.at}`]]);
});

test("other ports, tunnels and upgrades go by CONNECT", async () => {
  await using hop = await origin(({ first }, talk) => {
    if (!first.startsWith("CONNECT ")) return ok(first);
    talk.send("HTTP/1.1 200 OK\r\n\r\n");
  });
  await using hopline = await proxy(via(hop.at));
  const asked = async (request: string) => {
    using client = await hopline.client();
    client.send(request);
    let answer = await client.message({ bodiless: request.startsWith("CONNECT") });
    if (request.startsWith("CONNECT")) {
      client.send("GET /inside HTTP/1.1\r\n\r\n");
      answer = await client.message();
    }
    return [hop.requests.at(-2)?.first, answer.text];
  };
  const get = (authority: string, fields = "") =>
    `GET http://${authority}/ HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;
  const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  assertEquals(await asked(get("name.test:8080")), ["CONNECT name.test:8080 HTTP/1.1", "GET / HTTP/1.1"]);
  assertEquals(await asked(get("name.test", upgrade)), ["CONNECT name.test:80 HTTP/1.1", "GET / HTTP/1.1"]);
  assertEquals(await asked("CONNECT name.test:80 HTTP/1.1\r\n\r\n"), [
    "CONNECT name.test:80 HTTP/1.1",
    "GET /inside HTTP/1.1",
  ]);
});

test("without the option everything goes by CONNECT", async () => {
  await using hop = await origin((_, talk) => talk.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"));
  await using hopline = await proxy({ chains: { out: [`http://${hop.at}`] } });
  using client = await hopline.client();
  client.send("GET http://name.test/ HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals((await client.message()).first, "HTTP/1.1 403 Forbidden");
  assertEquals(hop.requests[0].first, "CONNECT name.test:80 HTTP/1.1");
});

test("a hop's refusal is an answer, but not its 407", async () => {
  const answers = [
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\npolicy",
    "HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
  ];
  await using hop = await origin(() => answers.shift());
  await using hopline = await proxy(via(hop.at));
  using client = await hopline.client();
  client.send("GET http://name.test/ HTTP/1.1\r\nHost: x\r\n\r\n");
  const policy = await client.message();
  assertEquals([policy.first, policy.text], ["HTTP/1.1 403 Forbidden", "policy"]);
  client.send("GET http://name.test/ HTTP/1.1\r\nHost: x\r\n\r\n");
  const refused = await client.message();
  assertEquals([refused.first, refused.field("proxy-authenticate")], ["HTTP/1.1 502 Bad Gateway", undefined]);
  assertMatch(refused.text, /^hop 1, http:\/\/127\.0\.0\.1:\d+, auth: the proxy refused the credentials/);
  const { error } = await hopline.logged("tunnel.failed");
  assertEquals([error.hop, error.code, error.stage], [1, "auth", "auth"]);
});

test("the hop may be the last of several, and a program may have made the chain", async () => {
  await using last = await origin(({ first }) => ok(first));
  await using near = await proxy();
  await using hopline = await proxy({}, {
    dialer: chain([
      http(near.at),
      http(last, { username: "office", password: "pa:ss", forward: "absolute" }),
    ]),
  });
  using client = await hopline.client();
  client.send("GET http://name.test/ HTTP/1.1\r\nHost: x\r\n\r\n");
  assertEquals((await client.message()).text, "GET http://name.test/ HTTP/1.1");
  assertEquals(last.requests[0].field("proxy-authorization"), basic);
  client.socket.end();
  assertEquals((await near.logged("tunnel.closed")).target, last.at);
});

test("a hop that can't be reached is named", async () => {
  const gone = await origin();
  await gone[Symbol.asyncDispose]();
  await using hopline = await proxy(via(gone.at));
  using client = await hopline.client();
  client.send("GET http://name.test/ HTTP/1.1\r\nHost: x\r\n\r\n");
  assertMatch((await client.message()).text, /^hop 1, http:\/\/.*, connect: /);
});

test("a group of such hops and others: each member is asked in its own way, and one that is gone is passed over", async () => {
  await using hop = await origin();
  await using tunnels = await origin(({ first }, talk) => {
    if (!first.startsWith("CONNECT ")) return ok(first);
    talk.send("HTTP/1.1 200 OK\r\n\r\n");
  });
  const gone = await freePort();
  await using hopline = await proxy({
    chains: {
      out: [{
        roundRobin: [
          `http://127.0.0.1:${gone}?forward=absolute`,
          `http://office:pa%3Ass@${hop.at}?forward=absolute`,
          `http://${tunnels.at}`,
        ],
      }],
    },
  });
  const went: string[] = [];
  for (let i = 0; i < 4; i++) {
    using client = await hopline.client();
    client.send(`GET http://name.test/${i} HTTP/1.1\r\nHost: x\r\n\r\n`);
    went.push((await client.message()).text);
    await hopline.logged("tunnel.closed", i + 1);
  }
  assertEquals(went, ["ok", "ok", "GET /2 HTTP/1.1", "ok"]);
  assertEquals(hop.requests.map(({ first, field }) => [first, field("proxy-authorization")]), [
    ["GET http://name.test/0 HTTP/1.1", basic],
    ["GET http://name.test/1 HTTP/1.1", basic],
    ["GET http://name.test/3 HTTP/1.1", basic],
  ]);
});
