/**
 * Requests in absolute-form: how they arrive at the server, and what of the answers arrives at the client.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { pieces } from "../support/bytes.ts";
import { proxy } from "./proxying.ts";
import { ok, origin, server } from "./talk.ts";

test("a request goes on in origin-form, with Host from the target and Via", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(
    `GET http://u:p@${web.at}/a/b?c=d#e HTTP/1.1\r\nHost: other.test\r\nX-A: \xe9 1\r\nx-a: 2\r\n\r\n`,
  );
  const answer = await client.message();
  assertEquals([answer.first, answer.text], ["HTTP/1.1 200 OK", "ok"]);
  const [request] = web.requests;
  assertEquals(request.first, "GET /a/b?c=d HTTP/1.1");
  assertEquals([request.field("host"), request.all("x-a")], [web.at, ["\xe9 1", "2"]]);
  assertMatch(request.field("via")!, /^1\.1 hopline-[0-9a-f]{16}$/);
  assertEquals(answer.field("via"), request.field("via"));
  assertEquals(["connection", "forwarded", "authorization"].map(request.field), [
    undefined,
    undefined,
    undefined,
  ]);
  const line = await hopline.logged("tunnel.closed");
  assertEquals([line.protocol, line.method, line.status, line.target], ["http", "GET", 200, web.at]);
  assert(line.bytesUp > 60 && line.bytesDown > 60);
});

const targets: [target: string, line: string][] = [
  ["http://HOST", "GET / HTTP/1.1"],
  ["http://HOST/", "GET / HTTP/1.1"],
  ["http://HOST?a=b", "GET /?a=b HTTP/1.1"],
  ["HTTP://HOST/%41/../b//c", "GET /%41/../b//c HTTP/1.1"],
  ["http://HOST/#f", "GET / HTTP/1.1"],
  ["http://HOST#f", "GET / HTTP/1.1"],
  ["http://@HOST/x@y", "GET /x@y HTTP/1.1"],
  ["http://HOST/http://other.test/", "GET /http://other.test/ HTTP/1.1"],
];
test("every spelling of a target", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  for (const [target, line] of targets) {
    client.send(`GET ${target.replace("HOST", web.at)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await client.message();
    assertEquals(web.requests.at(-1)!.first, line);
    assertEquals(web.requests.at(-1)!.field("host"), web.at);
  }
  assertEquals(web.talks.length, 1, "one connection for all of them");
});

test("a request a byte at a time", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  const request =
    `POST http://${web.at}/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-T: 1\r\n\r\n`;
  for (const byte of pieces(new TextEncoder().encode(request), 1)) {
    client.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assertEquals((await client.message()).text, "ok");
  const [{ text, trailers }] = web.requests;
  assertEquals([text, trailers], ["abc", "x-t: 1\r\n"]);
});

test("what is for one connection alone stays there", async () => {
  await using web = await origin(() =>
    ok(
      "ok",
      "Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-End: 1\r\n",
    )
  );
  await using hopline = await proxy({ listeners: ["http://alice:s3cret@127.0.0.1:0?forwarded=true"] });
  using client = await hopline.client();
  client.send(
    `GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic ${btoa("alice:s3cret")}\r\n`,
    "Connection: close, X-Hop, Via, Forwarded, Host\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\n",
    "TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nProxy: http://evil.test\r\nVia: 1.0 somebody\r\n",
    "Trailer: x\r\nForwarded: for=1.2.3.4\r\nAuthorization: Basic eDp5\r\nX-End: 1\r\n\r\n",
  );
  const answer = await client.message();
  const [request] = web.requests;
  for (
    const name of ["connection", "x-hop", "keep-alive", "proxy-connection", "te", "upgrade", "http2-settings"]
      .concat("proxy", "proxy-authorization", "trailer")
  ) assertEquals(request.all(name), [], name);
  assertEquals([request.field("host"), request.field("x-end")], [web.at, "1"]);
  assertEquals(request.field("authorization"), "Basic eDp5", "that is for the server");
  assertEquals(request.field("forwarded"), "for=127.0.0.1");
  assertMatch(request.field("via")!, /^1\.1 hopline-/);
  assertEquals(["x-hop", "keep-alive", "proxy-authenticate"].flatMap(answer.all), []);
  assertEquals([answer.field("x-end"), answer.field("connection")], ["1", "close"]);
  assertEquals([await client.ending(), (await hopline.logged("tunnel.closed")).user], ["fin", "alice"]);
});

test("chunks and trailers both ways", async () => {
  await using web = await origin(({ text, trailers }) =>
    `HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: Chunked\r\n\r\n${
      text.length.toString(16)
    };x="y"\r\n${text}\r\n` +
    `0;last\r\nX-Sum: ${trailers.length}\r\nContent-Length: 3\r\nSet-Cookie: a\r\n\r\n`
  );
  await using hopline = await proxy();
  using client = await hopline.client();
  for (let round = 0; round < 2; round++) {
    client.send(
      `POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\ntransfer-encoding: CHUNKED\r\nTrailer: X-T\r\n\r\n`,
      '1\r\na\r\n0000a;q="z"\r\nbcdefghijk\r\n0\r\nX-T: 1\r\nHost: evil.test\r\nTransfer-Encoding: x\r\n\r\n',
    );
    const answer = await client.message();
    const request = web.requests[round];
    assertEquals([request.text, request.trailers, request.field("trailer")], [
      "abcdefghijk",
      "x-t: 1\r\n",
      "X-T",
    ]);
    assertEquals([answer.text, answer.trailers], ["abcdefghijk", "x-sum: 8\r\n"]);
    assertEquals([answer.field("trailer"), answer.field("transfer-encoding")], ["X-Sum", "chunked"]);
  }
  assertEquals(web.talks.length, 1);
});

test("trailers say nothing of framing, routing, credentials or how the content is taken", async () => {
  const names = [
    "Transfer-Encoding",
    "Content-Length",
    "Host",
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
  ]
    .concat("Set-Cookie", "Connection", "Expect", "Max-Forwards", "Cache-Control", "Range", "Location", "Via")
    .concat(
      "Forwarded",
      "Content-Encoding",
      "Content-Type",
      "Content-Range",
      "Trailer",
      "TE",
      "Upgrade",
      "Proxy",
    );
  const trailers = `${names.map((name) => `${name}: 1\r\n`).join("")}X-T: 1\r\n`;
  await using web = await origin(() =>
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${trailers}\r\n`
  );
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(
    `POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${trailers}\r\n`,
  );
  assertEquals((await client.message()).trailers, "x-t: 1\r\n");
  assertEquals(web.requests[0].trailers, "x-t: 1\r\n");
});

test("a response that ends with its connection is chunked for a client that can tell the end so", async () => {
  await using web = await origin((_, talk) => {
    talk.send("HTTP/1.0 200 OK\r\nX: y\r\n\r\nall of it");
    talk.socket.end();
  });
  await using hopline = await proxy();
  using client = await hopline.client();
  for (let round = 0; round < 2; round++) {
    client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await client.message();
    assertEquals([answer.text, answer.field("transfer-encoding")], ["all of it", "chunked"]);
    assertMatch(answer.field("via")!, /^1\.0 /);
  }
  assertEquals(web.talks.length, 2, "such a connection has no second request");
});

test("HTTP/1.0 clients get no chunks, no 1xx, and the end", async () => {
  await using web = await origin((_, talk) => {
    talk.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
  });
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(
    `POST http://${web.at}/ HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi`,
  );
  const answer = await client.message({ toEnd: true });
  assertEquals([answer.first, answer.text], ["HTTP/1.1 200 OK", "abc"]);
  assertEquals([answer.field("connection"), answer.field("transfer-encoding")], ["close", undefined]);
  const [request] = web.requests;
  assertEquals([request.first, request.text, request.field("expect")], ["POST / HTTP/1.1", "hi", undefined]);
  assertMatch(request.field("via")!, /^1\.0 /);
});

test("Expect is forwarded, and 1xx come back as they come", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  await using careful = await server(async (talk) => {
    const head = await talk.through("\r\n\r\n");
    assertStringIncludes(head.toLowerCase(), "\r\nexpect: 100-continue\r\n");
    talk.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    assertEquals(new TextDecoder().decode(await talk.read(4)), "body");
    talk.send(ok("thanks"));
  });
  client.send(
    `PUT http://${careful.at}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`,
  );
  const hints = await client.message();
  assertEquals([hints.first, hints.field("link")], ["HTTP/1.1 103 Early Hints", "</a>"]);
  assertEquals((await client.message()).first, "HTTP/1.1 100 Continue");
  client.send("body", `GET http://${web.at}/next HTTP/1.1\r\nHost: x\r\n\r\n`);
  assertEquals((await client.message()).text, "thanks");
  assertEquals((await client.message()).text, "ok");
  assertEquals(web.requests[0].first, "GET /next HTTP/1.1");
});

test("an answer before the body has come ends the connection behind it", async () => {
  await using web = await server(async (talk) => {
    await talk.through("\r\n\r\n");
    talk.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
  });
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(
    `PUT http://${web.at}/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n`,
  );
  const answer = await client.message();
  assertEquals([answer.first, answer.text, answer.field("connection")], [
    "HTTP/1.1 417 Expectation Failed",
    "no",
    "close",
  ]);
  assertEquals(await client.ending(), "fin");
});

const bodiless: [name: string, method: string, answer: string, length: string | undefined][] = [
  ["HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "1000"],
  ["HEAD of chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", undefined],
  ["HEAD without length", "HEAD", "HTTP/1.1 200 OK\r\n\r\n", undefined],
  ["204", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", undefined],
  ["304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "5"],
];
for (const [name, method, response, length] of bodiless) {
  test(`${name} has no body, and the connection goes on`, async () => {
    await using web = await origin(() => response);
    await using hopline = await proxy();
    using client = await hopline.client();
    for (let round = 0; round < 3; round++) {
      client.send(`${method} http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
      const answer = await client.message({ bodiless: true });
      assertEquals([answer.field("content-length"), answer.field("transfer-encoding")], [length, undefined]);
      assertEquals(answer.first, response.split("\r\n")[0]);
    }
    assertEquals(web.talks.length, 1);
  });
}

test("any method goes, with and without a body", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  for (const method of ["DELETE", "PATCH", "PROPFIND", "m-search", "QUERY"]) {
    client.send(`${method} http://${web.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
    client.send(`${method} http://${web.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc`);
    await client.message();
    await client.message();
    assertEquals(web.requests.slice(-2).map(({ first, text }) => [first, text]), [
      [`${method} / HTTP/1.1`, ""],
      [`${method} / HTTP/1.1`, "abc"],
    ]);
    assertEquals(web.requests.at(-2)!.field("content-length"), "0");
  }
});

test("OPTIONS, TRACE and Max-Forwards", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  const ask = async (line: string, fields = "") => {
    client.send(`${line} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`);
    return await client.message();
  };
  await ask(`OPTIONS http://${web.at}`);
  assertEquals(web.requests.at(-1)!.first, "OPTIONS * HTTP/1.1");
  await ask(`OPTIONS http://${web.at}/`);
  assertEquals(web.requests.at(-1)!.first, "OPTIONS / HTTP/1.1");
  await ask(`OPTIONS http://${web.at}`, "Max-Forwards: 10\r\n");
  assertEquals(web.requests.at(-1)!.field("max-forwards"), "9");
  await ask(`GET http://${web.at}`, "Max-Forwards: 0\r\n");
  assertEquals(web.requests.at(-1)!.field("max-forwards"), "0", "it means nothing to GET");
  const before = web.requests.length;
  const own = await ask("OPTIONS *");
  assertEquals([own.first, own.field("content-length")], ["HTTP/1.1 200 OK", "0"]);
  assertEquals((await ask(`OPTIONS http://${web.at}/`, "Max-Forwards: 0\r\n")).first, "HTTP/1.1 200 OK");
  const trace = await ask(`TRACE http://${web.at}/`, "Max-Forwards: 0\r\nCookie: s3cret\r\nX: y\r\n");
  assertEquals(trace.field("content-type"), "message/http");
  assertEquals(trace.text, `TRACE http://${web.at}/ HTTP/1.1\r\nhost: x\r\nmax-forwards: 0\r\nx: y\r\n\r\n`);
  assertMatch((await ask(`TRACE http://${web.at}/`, "Max-Forwards: x\r\n")).first, /^HTTP\/1\.1 400 /);
  assertEquals(web.requests.length, before);
});

test("a request that comes back is a loop", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  await client.message();
  const via = web.requests[0].field("via")!;
  client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\nVia: 1.0 fred, ${via} (x)\r\n\r\n`);
  const answer = await client.message();
  assertEquals([answer.first, web.requests.length], ["HTTP/1.1 508 Loop Detected", 1]);
  // Through two listeners of one program it is found as well.
  client.send(`GET http://127.0.0.1:${hopline.at.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  assertMatch((await client.message()).first, /^HTTP\/1\.1 (400|508) /);
});

test("many requests in one segment are answered in their order", async () => {
  await using web = await origin(({ first, text }) => ok(`${first.split(" ")[1]} ${text}`));
  await using hopline = await proxy();
  using client = await hopline.client();
  const requests = Array.from(
    { length: 50 },
    (_, n) =>
      n % 3 === 0
        ? `POST http://${web.at}/${n} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc`
        : `\r\nGET http://${web.at}/${n} HTTP/1.1\r\nHost: x\r\n\r\n`,
  );
  client.send(...requests);
  for (let n = 0; n < 50; n++) {
    assertEquals((await client.message()).text, `/${n} ${n % 3 === 0 ? "abc" : ""}`);
  }
});

test("CONNECT may follow a request, and is a tunnel then", async () => {
  await using web = await origin();
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(
    `GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\nCONNECT ${web.at} HTTP/1.1\r\n\r\nGET /in HTTP/1.1\r\n\r\n`,
  );
  await client.message();
  assertEquals((await client.message({ bodiless: true })).first, "HTTP/1.1 200 Connection established");
  assertEquals((await client.message()).text, "ok");
  assertEquals(web.requests.map(({ first }) => first), ["GET / HTTP/1.1", "GET /in HTTP/1.1"]);
  assertEquals(web.requests[1].field("via"), undefined);
});
