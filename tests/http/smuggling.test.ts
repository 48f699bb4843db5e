/**
 * Requests of which two parsers might make two different things: either they are refused and nothing behind them is
 * parsed, or exactly one reading of them reaches the server.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { proxy } from "./proxying.ts";
import { ok, origin } from "./talk.ts";

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
const te = "Transfer-Encoding: chunked\r\n";

/** What stands between the request line and the end; 400 unless it says otherwise. */
const refused: [name: string, rest: string, status?: number][] = [
  ["CL.TE", `Content-Length: 5\r\n${te}\r\n0\r\n\r\n${smuggled}`],
  ["TE.CL", `${te}Content-Length: 5\r\n\r\n0\r\n\r\n${smuggled}`],
  ["CL.TE with no length", `Content-Length: 0\r\n${te}\r\n0\r\n\r\n${smuggled}`],
  ["TE.TE", `${te}Transfer-Encoding: cow\r\n\r\n0\r\n\r\n${smuggled}`],
  ["TE.TE, the other way round", `Transfer-Encoding: cow\r\n${te}\r\n0\r\n\r\n${smuggled}`, 501],
  ["chunked twice", `Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["chunked in two fields", `${te}${te}\r\n0\r\n\r\n${smuggled}`],
  ["identity", `Transfer-Encoding: identity\r\n\r\n${smuggled}`],
  ["chunked, identity", `Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`],
  ["a coding that nobody knows", `Transfer-Encoding: cow, chunked\r\n\r\n0\r\n\r\n${smuggled}`, 501],
  ["gzip alone", `Transfer-Encoding: gzip\r\n\r\n${smuggled}`],
  ["xchunked", `Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["quoted chunked", `Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n${smuggled}`],
  ["chunked with a parameter", `Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n${smuggled}`],
  ["an empty coding", `Transfer-Encoding:\r\n\r\n${smuggled}`],
  ["an empty coding behind", `Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n${smuggled}`],
  ["a vertical tab before it", `Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["a non-breaking space before it", `Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["NUL behind it", `Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n${smuggled}`],
  ["a space before the colon", `Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["a tab before the colon", `Content-Length\t: 5\r\n\r\nhello${smuggled}`],
  ["a space before the name", ` Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["a folded value", `Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["a bare LF hides it", `X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["a bare CR hides it", `X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`],
  ["an empty name", `: x\r\n\r\n${smuggled}`],
  ["no colon", `Transfer-Encoding chunked\r\n\r\n${smuggled}`],
  ["two Hosts", `Host: evil.test\r\n\r\n${smuggled}`],
  ...[
    "+3",
    "-3",
    "0x3",
    "3,",
    ",3",
    "3, 3",
    "3 3",
    "3.0",
    "3e0",
    "",
    "three",
    "9007199254740993",
    "1e99",
    "３",
  ].map(
    (length): [string, string] => [
      `Content-Length of ${length}`,
      `Content-Length: ${length === "３" ? "\xef\xbc\x93" : length}\r\n\r\nabc${smuggled}`,
    ],
  ),
  ["two lengths", `Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc${smuggled}`],
  ["the same length twice", `Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc${smuggled}`],
];
for (const [name, rest, status = 400] of refused) {
  test(`${name}: refused, and nothing behind it is parsed`, async () => {
    await using web = await origin();
    await using hopline = await proxy();
    using client = await hopline.client();
    client.send(`POST http://${web.at}/first HTTP/1.1\r\nHost: x\r\n${rest}`);
    const answer = await client.message();
    assertMatch(answer.first, new RegExp(`^HTTP/1\\.1 ${status} `));
    assertEquals([answer.field("connection"), await client.ending()], ["close", "fin"]);
    assertEquals([client.size, web.talks.length], [0, 0]);
  });
}

test("gzip, chunked: forwarded by its chunks, and that connection to the server is for no other request", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  const post = `POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:`;
  client.send(`${post} GZIP\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`);
  assertEquals((await client.message()).text, "ok");
  client.send(`${post} chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n`);
  assertEquals((await client.message()).text, "ok");
  assertEquals(
    web.requests.map(({ connection, text, all }) => [connection, text, all("transfer-encoding")]),
    [[0, "abc", ["gzip, chunked"]], [1, "def", ["chunked"]]],
  );
});

test("Transfer-Encoding in HTTP/1.0: refused", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(`POST http://${web.at}/ HTTP/1.0\r\n${te}\r\n0\r\n\r\n${smuggled}`);
  assertMatch((await client.message()).first, /^HTTP\/1\.1 400 /);
  assertEquals([await client.ending(), web.talks.length], ["fin", 0]);
});

/** A chunked body that breaks the rules; the server may have seen its beginning, but never its end. */
const chunks: [name: string, body: string][] = [
  ["a bare LF behind the size", `3\nabc\r\n0\r\n\r\n`],
  ["a bare LF behind the chunk", `3\r\nabc\n0\r\n\r\n`],
  ["a bare CR behind the size", `3\rabc\r\n0\r\n\r\n`],
  ["a bare LF within an extension", `3;a\nb\r\nabc\r\n0\r\n\r\n`],
  ["a bare CR within an extension", `3;a\rb\r\nabc\r\n0\r\n\r\n`],
  ["a bare LF at the end", `3\r\nabc\r\n0\n\n`],
  ["a bare LF behind the trailers", `3\r\nabc\r\n0\r\nX: y\n\r\n`],
  ["a trailer that is no field", `3\r\nabc\r\n0\r\n${smuggled}`],
  ["a folded trailer", `3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n`],
  ["a chunk longer than it says", `3\r\nabcd\r\n0\r\n\r\n`],
  ["a chunk shorter than it says", `5\r\nabc\r\n0\r\n\r\n${smuggled}`],
  ["a size with a sign", `+3\r\nabc\r\n0\r\n\r\n`],
  ["a negative size", `-1\r\nabc\r\n0\r\n\r\n`],
  ["a size with a prefix", `0x3\r\nabc\r\n0\r\n\r\n`],
  ["a size with a space before", ` 3\r\nabc\r\n0\r\n\r\n`],
  ["a size with a space behind", `3 \r\nabc\r\n0\r\n\r\n`],
  ["a size with an underscore", `1_0\r\n${"a".repeat(16)}\r\n0\r\n\r\n`],
  ["no size", `\r\nabc\r\n0\r\n\r\n`],
  ["an extension alone", `;a=b\r\nabc\r\n0\r\n\r\n`],
  ["a size that wraps around 2^64", `10000000000000003\r\nabc\r\n0\r\n\r\n`],
  ["a size beyond 2^53", `20000000000001\r\nabc\r\n0\r\n\r\n`],
  ["an endless size", `${"0".repeat(5000)}3\r\nabc\r\n0\r\n\r\n`],
  ["an endless extension", `3;${"a".repeat(5000)}\r\nabc\r\n0\r\n\r\n`],
  ["extensions that outweigh the body", `1;${"a".repeat(2000)}\r\na\r\n`.repeat(12) + "0\r\n\r\n"],
  ["endless trailers", `3\r\nabc\r\n0\r\n${"X: y\r\n".repeat(5000)}\r\n`],
  ["NUL in an extension", `3;\0\r\nabc\r\n0\r\n\r\n`],
];
for (const [name, body] of chunks) {
  test(`${name}: 400, and the server gets no whole request`, async () => {
    await using web = await origin();
    await using hopline = await proxy();
    using client = await hopline.client();
    client.send(`POST http://${web.at}/first HTTP/1.1\r\nHost: x\r\n${te}\r\n${body}${smuggled}`);
    const answer = await client.message();
    assertMatch(answer.first, /^HTTP\/1\.1 400 /);
    assertEquals([answer.field("connection"), await client.ending(), client.size], ["close", "fin", 0]);
    for (const talk of web.talks) await talk.ending();
    assertEquals(web.requests.length, 0);
    await hopline.logged("tunnel.closed");
  });
}

/** What several parsers stumble over, and one reading of it is as good as any as long as all share it. */
const single: [name: string, rest: string, body: string][] = [
  ["a body that looks like a request", `Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`, smuggled],
  ["the same in a chunk", `${te}\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`, smuggled],
  ["extensions of chunks", `${te}\r\n3;a="b;c";d\r\nabc\r\n00;x\r\n\r\n`, "abc"],
  ["blank before an extension", `${te}\r\n3 ;a\r\nabc\r\n0\r\n\r\n`, "abc"],
  ["zeros before a size", `${te}\r\n0000000000003\r\nabc\r\n0000\r\n\r\n`, "abc"],
  ["zeros before a length", "Content-Length: 0003\r\n\r\nabc", "abc"],
  ["a tab around the value", "Content-Length:\t3\t\r\n\r\nabc", "abc"],
  ["chunked in capitals", "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"],
  [
    "a Connection that nominates the framing",
    `Connection: Content-Length\r\nContent-Length: 3\r\n\r\nabc`,
    "abc",
  ],
  ["and Transfer-Encoding", `Connection: transfer-encoding\r\n${te}\r\n3\r\nabc\r\n0\r\n\r\n`, "abc"],
  ["X-Transfer-Encoding", "X-Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", "abc"],
  ["underscores", "Transfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", "abc"],
];
for (const [name, rest, body] of single) {
  test(`${name}: one request, and the next one behind it`, async () => {
    await using web = await origin(({ text }) => ok(text));
    await using hopline = await proxy();
    using client = await hopline.client();
    client.send(`POST http://${web.at}/first HTTP/1.1\r\nHost: x\r\n${rest}`);
    client.send(`GET http://${web.at}/second HTTP/1.1\r\nHost: x\r\n\r\n`);
    assertEquals((await client.message()).text, body);
    await client.message();
    assertEquals(web.requests.map(({ first }) => first), ["POST /first HTTP/1.1", "GET /second HTTP/1.1"]);
    const [{ text, field }] = web.requests;
    assertEquals(text, body);
    const coding = field("transfer-encoding");
    assertEquals([coding ?? "chunked", field("content-length") ?? String(body.length)], [
      "chunked",
      String(body.length),
    ]);
  });
}

const wrongTargets: [target: string, status: number][] = [
  ["/", 400],
  ["//127.0.0.1/", 400],
  ["http:/127.0.0.1/", 405],
  ["http://", 400],
  ["http:///x", 400],
  ["http://:80/", 400],
  ["http://a:0/", 400],
  ["http://a:65536/", 400],
  ["http://a:+80/", 400],
  ["http://a:80:80/", 400],
  ["http://a:80:/", 400],
  ["http://[::1]:80:/", 400],
  ["http://a@b@c/", 400],
  ["http://[::1/", 400],
  ["http://[127.0.0.1]/", 400],
  ["http://[fe80::1%25eth0]/", 400],
  ["http://a%00b/", 400],
  ["http://a\\b/", 400],
  ["http://a,b/", 400],
  ["https://127.0.0.1/", 501],
  ["ftp://127.0.0.1/", 501],
  ["ws://127.0.0.1/", 501],
  ["127.0.0.1:80", 405],
  ["*", 405],
];
test("targets that are none", async () => {
  await using hopline = await proxy();
  for (const [target, status] of wrongTargets) {
    using client = await hopline.client();
    client.send(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    const answer = await client.message();
    assertMatch(answer.first, new RegExp(`^HTTP/1\\.1 ${status} `), target);
    assertMatch(answer.field("proxy-status")!, /^hopline; error=http_request_error; /);
  }
});

test("a server is never chosen by Host", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(`GET / HTTP/1.1\r\nHost: ${web.at}\r\n\r\n`);
  assertMatch((await client.message()).text, /this is a proxy, not a web server/);
  assertEquals([await client.ending(), web.talks.length], ["fin", 0]);
});

test("what is too long has its own status", async () => {
  await using hopline = await proxy();
  for (
    const [request, status] of [
      [`GET http://a/${"a".repeat(9000)} HTTP/1.1\r\n\r\n`, 414],
      [`GET http://a/ HTTP/1.1\r\nX: ${"a".repeat(70_000)}\r\n\r\n`, 431],
      ["GET http://a/ HTTP/2.0\r\n\r\n", 505],
    ] as const
  ) {
    using client = await hopline.client();
    client.send(request);
    assertMatch((await client.message()).first, new RegExp(`^HTTP/1\\.1 ${status} `));
    assertEquals(await client.ending(), "fin");
  }
});
