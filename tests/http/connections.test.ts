/**
 * Connections over many requests: which are used again, by whom, and how each of them ends.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { eventually } from "../support/process.ts";
import { proxy } from "./proxying.ts";
import { aborted, ok, origin, server, type Talk } from "./talk.ts";

const get = (at: string, path = "/", fields = "") =>
  `GET http://${at}${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`;
const login = (user: string) => `Proxy-Authorization: Basic ${btoa(`${user}:s3cret`)}\r\n`;
const twoUsers = {
  listeners: [{
    address: "127.0.0.1:0",
    users: [{ username: "alice", password: "s3cret" }, { username: "bob", password: "s3cret" }],
  }],
};

test("one connection to each server, for as long as the client stays", async () => {
  await using one = await origin();
  await using two = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  for (let round = 0; round < 5; round++) {
    for (const web of [one, two]) {
      client.send(get(web.at));
      await client.message();
    }
  }
  assertEquals([one.requests.length, one.talks.length, two.talks.length], [5, 1, 1]);
  client.socket.end();
  assertEquals([await one.talks[0].ending(), await two.talks[0].ending()], ["fin", "fin"]);
});

test("another client gets a connection of its own", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using first = await hopline.client();
  using second = await hopline.client();
  for (const client of [first, second, first, second]) {
    client.send(get(web.at));
    await client.message();
  }
  assertEquals(web.requests.map(({ connection }) => connection), [0, 1, 0, 1]);
});

test("another user on the same connection gets one of their own", async () => {
  await using web = await origin();
  await using hopline = await proxy(twoUsers);
  using client = await hopline.client();
  for (const user of ["alice", "bob", "alice", "bob"]) {
    client.send(get(web.at, `/${user}`, login(user)));
    await client.message();
  }
  assertEquals(web.requests.map(({ connection }) => connection), [0, 1, 0, 1]);
  assertEquals((await hopline.logged("tunnel.closed", 4)).user, "bob");
});

test("a server that says close is asked on a new connection", async () => {
  await using web = await origin(() => ok("ok", "Connection: Close\r\n"));
  await using hopline = await proxy();
  using client = await hopline.client();
  for (let round = 0; round < 3; round++) {
    client.send(get(web.at));
    assertEquals(
      (await client.message()).field("connection"),
      undefined,
      "that is between us and the server",
    );
  }
  assertEquals(web.talks.length, 3);
});

for (const field of ["Connection: close", "Connection: x, CLOSE", "Proxy-Connection: close"]) {
  test(`a client that says ${field} gets its answer and the end`, async () => {
    await using web = await origin();
    await using hopline = await proxy();
    using client = await hopline.client();
    client.send(get(web.at, "/", `${field}\r\n`), get(web.at, "/never"));
    assertEquals((await client.message()).field("connection"), "close");
    assertEquals([await client.ending(), web.requests.length], ["fin", 1]);
  });
}

/** Answers the first request on each connection; takes a second one and dies. */
const dying = (how: "end" | "destroy" | "resetAndDestroy") =>
  server(async (talk, connection, requests) => {
    const first = await talk.message();
    requests.push({ ...first, connection });
    talk.send(ok(String(connection)));
    const second = await talk.message();
    requests.push({ ...second, connection });
    talk.socket[how]();
  });

for (const how of ["end", "resetAndDestroy"] as const) {
  test(`a server that dies (${how}) as it is asked again: asked once more if that is harmless`, async () => {
    await using web = await dying(how);
    await using hopline = await proxy();
    using client = await hopline.client();
    client.send(get(web.at));
    assertEquals((await client.message()).text, "0");
    client.send(get(web.at));
    assertEquals((await client.message()).text, "1");
    assertEquals(web.requests.map(({ connection }) => connection), [0, 0, 1]);
    client.send(`POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
    assertEquals((await client.message()).first, "HTTP/1.1 502 Bad Gateway");
    assertEquals(web.requests.length, 4, "what may have had an effect is not repeated");
    assertEquals(
      hopline.entries.filter(({ event }) => event.startsWith("tunnel.")).length,
      3,
      "a line for each",
    );
  });
}

test("a server that is gone when it is asked once more is a 502", async () => {
  const web = await dying("end");
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(get(web.at));
  await client.message();
  await web[Symbol.asyncDispose]();
  client.send(get(web.at));
  assertEquals((await client.message()).first, "HTTP/1.1 502 Bad Gateway");
  await hopline.logged("tunnel.failed");
  assertEquals(hopline.entries.filter(({ event }) => event.startsWith("tunnel.")).length, 2);
});

test("407 keeps the connection, and the next request may know the password", async () => {
  await using web = await origin();
  await using hopline = await proxy(twoUsers);
  using client = await hopline.client();
  client.send(`POST http://${web.at}/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`);
  const challenge = await client.message();
  assertEquals(challenge.first, "HTTP/1.1 407 Proxy Authentication Required");
  assertEquals(challenge.field("proxy-authenticate"), 'Basic realm="hopline", charset="UTF-8"');
  assertEquals(challenge.field("connection"), undefined);
  client.send(get(web.at, "/2", login("eve")));
  assertMatch((await client.message()).first, / 407 /);
  client.send(get(web.at, "/3", login("alice")));
  assertEquals((await client.message()).text, "ok");
  client.send(get(web.at, "/4"));
  assertMatch((await client.message()).first, / 407 /, "every request has to say who asks");
  assertEquals(web.requests.map(({ first }) => first), ["GET /3 HTTP/1.1"]);
  const { error } = await hopline.logged("tunnel.failed", 2);
  assertEquals([error.code, error.message], ["auth", 'wrong credentials for user "eve"']);
});

const undrained: [name: string, fields: string][] = [
  ["a chunked body", "Transfer-Encoding: chunked\r\n"],
  ["a long body", "Content-Length: 1000000\r\n"],
  ["a body that waits for 100", "Expect: 100-continue\r\nContent-Length: 5\r\n"],
];
for (const [name, fields] of undrained) {
  test(`407 to ${name} ends the connection`, async () => {
    await using web = await origin();
    await using hopline = await proxy(twoUsers);
    using client = await hopline.client();
    client.send(
      `POST http://${web.at}/1 HTTP/1.1\r\nHost: x\r\n${fields}\r\n`,
      "0\r\n\r\n",
      get(web.at, "/", login("alice")),
    );
    const answer = await client.message();
    assertMatch(answer.first, / 407 /);
    assertEquals([answer.field("connection"), await client.ending(), web.talks.length], ["close", "fin", 0]);
  });
}

test("407 to CONNECT ends the connection", async () => {
  await using web = await origin();
  await using hopline = await proxy(twoUsers);
  using client = await hopline.client();
  client.send(
    get(web.at, "/1", login("alice")),
    `CONNECT ${web.at} HTTP/1.1\r\n\r\n`,
    get(web.at, "/2", login("alice")),
  );
  assertEquals((await client.message()).text, "ok");
  assertMatch((await client.message()).first, / 407 /);
  assertEquals([await client.ending(), web.requests.length], ["fin", 1]);
});

/** Reads a request and says nothing. */
const silent = () =>
  server(async (talk, connection, requests) => {
    requests.push({ ...await talk.message(), connection });
  });

const leaving: [how: string, leave: (client: Talk) => void][] = [
  ["resets", (client) => void client.socket.resetAndDestroy()],
  ["closes", (client) => void client.socket.destroy()],
  ["ends its side and stays silent", (client) => void client.socket.end()],
];
for (const [how, leave] of leaving) {
  test(`a client that ${how} takes its request along`, async () => {
    await using web = await silent();
    await using hopline = await proxy();
    using client = await hopline.client();
    client.send(get(web.at));
    await eventually("the request", () => web.requests[0]);
    leave(client);
    await web.talks[0].ending();
    const line = await hopline.logged("tunnel.closed");
    assertEquals([line.method, line.status], ["GET", undefined]);
  });
}

test("a client that goes away within its body takes the request along", async () => {
  await using web = await server((talk) => void talk.through("never").catch(() => {}));
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(`POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc`);
  await eventually(
    "the body's beginning",
    () => new TextDecoder().decode(web.talks[0]?.received ?? new Uint8Array()).endsWith("abc") || undefined,
  );
  client.socket.end();
  assertEquals(await web.talks[0].ending(), aborted);
  await hopline.logged("tunnel.closed");
});

test("a client that ends its side behind the request still gets the answer", async () => {
  await using web = await origin(async () => {
    await new Promise((resolve) => setTimeout(resolve, 200));
    return ok("late");
  });
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(get(web.at));
  client.socket.end();
  const answer = await client.message();
  assertEquals([answer.text, await client.ending()], ["late", "fin"]);
});

test("a server that says nothing is a 504 in the end", async () => {
  await using web = await silent();
  await using hopline = await proxy({ timeouts: { idle: "200ms" } });
  using client = await hopline.client();
  client.send(get(web.at));
  assertEquals((await client.message()).first, "HTTP/1.1 504 Gateway Timeout");
  await web.talks[0].ending();
  const { error } = await hopline.logged("tunnel.failed");
  assertEquals([error.code, error.stage], ["timeout", "relay"]);
});

test("an idle connection is ended, a head that does not end as well", async () => {
  await using web = await origin();
  await using hopline = await proxy({ timeouts: { idle: "200ms", handshake: "200ms" } });
  using idle = await hopline.client();
  using slow = await hopline.client();
  for (const client of [idle, slow]) {
    client.send(get(web.at));
    await client.message();
  }
  slow.send("GET http://");
  assertEquals(await idle.ending(), "fin");
  await slow.ending();
  for (const talk of web.talks) await talk.ending();
});

test("between requests, who has not passed the gate is waited for no longer than a handshake", async () => {
  await using web = await origin();
  await using hopline = await proxy({ ...twoUsers, timeouts: { handshake: "500ms" } });
  using known = await hopline.client();
  using unknown = await hopline.client();
  for (const [client, credentials] of [[known, login("alice")], [unknown, login("eve")]] as const) {
    client.send(get(web.at, "/", credentials));
    await client.message();
  }
  assertEquals(await unknown.ending(), "fin");
  known.send(get(web.at, "/", login("alice")));
  assertEquals((await known.message()).text, "ok");
});

test("draining lets a request finish and ends connections between two", async () => {
  const { promise: go, resolve: release } = Promise.withResolvers<void>();
  await using web = await origin(async () => {
    await go;
    return ok("done");
  });
  await using quick = await origin();
  const hopline = await proxy();
  using idle = await hopline.client();
  using busy = await hopline.client();
  idle.send(get(quick.at));
  await idle.message();
  busy.send(get(web.at));
  await eventually("the request", () => web.requests[0]);
  const closed = hopline.server.close(20_000);
  assertEquals([await idle.ending(), await quick.talks[0].ending()], ["fin", "fin"]);
  release();
  const answer = await busy.message();
  assertEquals([answer.text, answer.field("connection"), await busy.ending()], ["done", "close", "fin"]);
  await closed;
});

test("a new configuration is for new connections: old ones end behind their request", async () => {
  const { promise: go, resolve: release } = Promise.withResolvers<void>();
  await using web = await origin(async ({ first }) => {
    if (first.includes("slow")) await go;
    return ok();
  });
  await using hopline = await proxy(twoUsers);
  using idle = await hopline.client();
  using busy = await hopline.client();
  idle.send(get(web.at, "/", login("bob")));
  await idle.message();
  busy.send(get(web.at, "/slow", login("bob")), get(web.at, "/never", login("bob")));
  await eventually("the request", () => web.requests[1]);
  const { listeners: [{ users: [alice] }] } = twoUsers;
  await hopline.server.replace({ listeners: [{ address: "127.0.0.1:0", users: [alice] }] });
  assertEquals(await idle.ending(), "fin");
  release();
  assertEquals([(await busy.message()).field("connection"), await busy.ending()], ["close", "fin"]);
  using late = await hopline.client();
  late.send(get(web.at, "/", login("bob")));
  assertMatch((await late.message()).first, / 407 /);
  assertEquals(web.requests.length, 2);
});

test("requests that were sent ahead of the client's end are answered", async () => {
  await using web = await origin(({ first }) => ok(first));
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(get(web.at, "/1"), get(web.at, "/2"), get(web.at, "/3"));
  client.socket.end();
  for (const path of ["/1", "/2", "/3"]) assertEquals((await client.message()).text, `GET ${path} HTTP/1.1`);
  assertEquals(await client.ending(), "fin");
});

test("stopping ends what is under way", async () => {
  await using web = await silent();
  const hopline = await proxy();
  using client = await hopline.client();
  client.send(get(web.at));
  await eventually("the request", () => web.requests[0]);
  await hopline.server.close(0);
  await client.ending();
  await web.talks[0].ending();
});

test("no limit is exceeded by requests, and none is held by idle connections", async () => {
  await using web = await origin();
  await using hopline = await proxy({ limits: { tunnels: 1 } });
  using one = await hopline.client();
  using two = await hopline.client();
  for (const client of [one, two, one, two]) {
    client.send(get(web.at));
    assertEquals((await client.message()).text, "ok");
    await hopline.logged("tunnel.closed");
  }
});
