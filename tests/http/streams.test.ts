/**
 * Bodies of any size: both ways at once, each as fast as its receiver takes it, and upgrades.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { createServer, request as httpRequest } from "node:http";
import { test } from "node:test";
import { bytes, keptByKernel } from "../support/traffic.ts";
import { listen } from "../support/origins.ts";
import { eventually } from "../support/process.ts";
import { proxy } from "./proxying.ts";
import { ok, origin, server } from "./talk.ts";

const size = 32 << 20;
const data = bytes(size);
const hash = (body: Uint8Array) => createHash("sha256").update(body).digest("hex");

/** A web server of another make, which mirrors what it gets while it comes. */
async function mirror() {
  const web = createServer((request, response) => {
    const length = request.headers["content-length"];
    if (length !== undefined) response.setHeader("content-length", length);
    request.pipe(response);
  });
  return await listen(web);
}

for (const [name, headers] of [["a length", { "content-length": size }], ["chunks", {}]] as const) {
  test(`32 MiB with ${name}, there and back at once`, async () => {
    await using web = await mirror();
    await using hopline = await proxy();
    const came = createHash("sha256");
    let total = 0;
    await new Promise<void>((resolve, reject) => {
      const { hostname: host, port } = hopline.at;
      const outgoing = httpRequest(
        {
          host,
          port,
          method: "POST",
          path: `http://${web.address}/`,
          headers: { ...headers, host: web.address },
        },
        (response) => {
          response.on("data", (chunk: Uint8Array) => {
            came.update(chunk);
            total += chunk.length;
          });
          response.on("end", resolve);
          response.on("error", reject);
        },
      );
      outgoing.on("error", reject);
      outgoing.end(data);
    });
    assertEquals([total, came.digest("hex")], [size, hash(data)]);
    const { bytesUp, bytesDown } = await hopline.logged("tunnel.closed");
    assert(bytesUp > size && bytesDown > size);
  });
}

/** Well below what is sent. */
const most = keptByKernel() + (8 << 20);
const all = most + (40 << 20);

test("a client that does not read holds the server back", async () => {
  let written = 0;
  await using web = await server(async (talk) => {
    await talk.message();
    talk.send(`HTTP/1.1 200 OK\r\nContent-Length: ${all}\r\n\r\n`);
    const piece = data.subarray(0, 1 << 18);
    while (written < all) {
      if (!talk.socket.write(piece)) await new Promise((resolve) => talk.socket.once("drain", resolve));
      written += piece.length;
    }
  });
  await using hopline = await proxy();
  using client = await hopline.client();
  client.socket.pause();
  client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n\r\n`);
  let before = -1;
  await eventually("a stop", () => {
    const still = written > 0 && written === before;
    before = written;
    return still || undefined;
  });
  assert(written < most, `${written} bytes were taken for a client that reads nothing`);
  let came = 0;
  client.socket.on("data", (chunk: Uint8Array) => came += chunk.length);
  client.socket.resume();
  await eventually("all of it", () => came > all || undefined);
});

test("a server that does not read holds the client back", async () => {
  await using web = await server((talk) => void talk.socket.pause());
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(`PUT http://${web.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${all}\r\n\r\n`);
  let written = 0;
  const piece = data.subarray(0, 1 << 18);
  const pour = async () => {
    while (written < all) {
      if (!client.socket.write(piece)) await new Promise((resolve) => client.socket.once("drain", resolve));
      written += piece.length;
    }
  };
  void pour();
  let before = -1;
  await eventually("a stop", () => {
    const still = written > 0 && written === before;
    before = written;
    return still || undefined;
  });
  assert(written < most, `${written} bytes were taken for a server that reads nothing`);
});

test("each piece of a body goes on when it comes, not when the body is whole", async () => {
  await using web = await server(async (talk) => {
    await talk.through("\r\n\r\n");
    talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (;;) {
      const size = parseInt(await talk.through("\r\n"), 16);
      talk.send(`${size.toString(16)}\r\n`, await talk.read(size + 2));
      if (size === 0) return talk.send("\r\n");
    }
  });
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(`POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
  await client.through("\r\n\r\n");
  for (const word of ["one", "two", "three"]) {
    client.send(`${word.length}\r\n${word}\r\n`);
    assertEquals(await client.through(`${word}\r\n`), `${word.length}\r\n${word}\r\n`);
  }
  client.send("0\r\n\r\n");
  assertEquals(await client.through("0\r\n\r\n"), "0\r\n\r\n");
  await client.ending();
});

const handshake = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: abc\r\n";
const agreed =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";

test("a WebSocket is a tunnel from its 101 on, early bytes included", async () => {
  await using web = await server(async (talk, connection, requests) => {
    requests.push({ ...await talk.message(), connection });
    talk.send(`${agreed}\x81\x05hello`);
    talk.socket.on("data", () => talk.send(talk.take(talk.size)));
    talk.send(talk.take(talk.size));
    talk.socket.on("end", () => talk.socket.end("bye"));
  });
  await using hopline = await proxy();
  using client = await hopline.client();
  client.send(`GET http://${web.at}/chat HTTP/1.1\r\nHost: x\r\n${handshake}\r\n`, "\x81\x02hi");
  const answer = await client.message();
  assertEquals([answer.first, answer.field("sec-websocket-accept")], [
    "HTTP/1.1 101 Switching Protocols",
    "x",
  ]);
  assertEquals([answer.field("connection"), answer.field("upgrade")], ["Upgrade", "websocket"]);
  assertEquals(await client.through("hi"), "\x81\x05hello\x81\x02hi");
  client.send("GET / HTTP/1.1\r\n\r\n");
  assertEquals(await client.through("\r\n\r\n"), "GET / HTTP/1.1\r\n\r\n");
  client.socket.end();
  assertEquals(await client.rest(), "bye");
  const [request] = web.requests;
  assertEquals([request.field("connection"), request.field("upgrade")], ["Upgrade", "websocket"]);
  assertEquals(request.field("sec-websocket-key"), "abc");
  const { method, status, bytesUp, bytesDown } = await hopline.logged("tunnel.closed");
  assertEquals([method, status, bytesUp, bytesDown], ["GET", 101, 22, 32]);
});

test("a WebSocket that is refused is an answer like any other", async () => {
  await using web = await origin(() =>
    "HTTP/1.1 426 No\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nno"
  );
  await using hopline = await proxy();
  using client = await hopline.client();
  for (let round = 0; round < 2; round++) {
    client.send(`GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n${handshake}\r\n`);
    const answer = await client.message();
    assertEquals([answer.first, answer.text, answer.field("upgrade")], ["HTTP/1.1 426 No", "no", undefined]);
  }
});

for (
  const [what, fields] of [
    ["another protocol", "Connection: Upgrade\r\nUpgrade: h2c\r\n"],
    ["none", "Connection: Upgrade\r\n"],
    ["one that Connection does not name", "Upgrade: websocket\r\n"],
  ]
) {
  test(`a server that switches to ${what} where a WebSocket was asked for makes no tunnel`, async () => {
    await using web = await origin(() => `HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`);
    await using hopline = await proxy();
    using client = await hopline.client();
    client.send(
      `GET http://${web.at}/ HTTP/1.1\r\nHost: x\r\n${handshake}\r\n`,
      "GET /secret HTTP/1.1\r\n\r\n",
    );
    assertEquals((await client.message()).first, "HTTP/1.1 502 Bad Gateway");
    await web.talks[0].ending();
    assertEquals([web.requests.length, web.talks[0].size], [1, 0]);
  });
}

const noUpgrades: [name: string, line: string, fields: string][] = [
  ["another protocol", "GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c\r\n"],
  ["two protocols", "GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"],
  ["no Connection", "GET / HTTP/1.1", "Upgrade: websocket\r\n"],
  ["another method", "POST / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n"],
  ["HTTP/1.0", "GET / HTTP/1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n"],
  ["a body", "GET / HTTP/1.1", "Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"],
];
for (const [name, line, fields] of noUpgrades) {
  test(`an upgrade with ${name} is not asked for, and a server that agrees all the same makes no tunnel`, async () => {
    await using web = await origin(({ field }) => field("upgrade") === undefined ? agreed : ok());
    await using hopline = await proxy();
    using client = await hopline.client();
    client.send(`${line.replace("/ ", `http://${web.at}/ `)}\r\nHost: x\r\n${fields}\r\n`);
    assertEquals((await client.message()).first, "HTTP/1.1 502 Bad Gateway");
    assertEquals(web.requests[0].all("connection"), []);
  });
}
