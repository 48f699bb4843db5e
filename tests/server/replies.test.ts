/**
 * What a client sees when something fails: the table of the contract's section 4, in every protocol, over real sockets.
 * Success never goes out before the dial; a refusal is complete and followed by a FIN, whatever the client has sent
 * ahead.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { type Dialer, direct, type Endpoint, type ErrorCode, ProxyError } from "../../mod.ts";
import { fromUtf8, toHex } from "../support/bytes.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { freePort } from "../support/temporary.ts";
import { rest } from "../support/traffic.ts";
import { clients, http, httpAnswer, socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

const table: Record<ErrorCode, { socks5: number; http: number; type: string }> = {
  refused: { socks5: 5, http: 502, type: "connection_refused" },
  netUnreachable: { socks5: 3, http: 502, type: "destination_ip_unroutable" },
  unreachable: { socks5: 4, http: 502, type: "destination_ip_unroutable" },
  resolve: { socks5: 4, http: 502, type: "dns_error" },
  timeout: { socks5: 6, http: 504, type: "connection_timeout" },
  denied: { socks5: 2, http: 403, type: "http_request_denied" },
  limit: { socks5: 2, http: 503, type: "connection_limit_reached" },
  loop: { socks5: 2, http: 508, type: "proxy_loop_detected" },
  unsupported: { socks5: 7, http: 501, type: "http_request_error" },
  address: { socks5: 8, http: 400, type: "http_request_error" },
  auth: { socks5: 1, http: 502, type: "proxy_configuration_error" },
  protocol: { socks5: 1, http: 502, type: "http_protocol_error" },
  tls: { socks5: 1, http: 502, type: "tls_protocol_error" },
  closed: { socks5: 1, http: 502, type: "connection_terminated" },
  failed: { socks5: 1, http: 502, type: "destination_unavailable" },
};

function failing(code: ErrorCode): Dialer {
  return {
    dial: () =>
      Promise.reject(
        new ProxyError("it went wrong", {
          code,
          side: "upstream",
          stage: "request",
          hop: 2,
          label: "exit (socks5 10.0.0.9:1080)",
        }),
      ),
  };
}

for (const [code, expected] of Object.entries(table) as [ErrorCode, typeof table[ErrorCode]][]) {
  test(`${code} is told in each protocol, and the connection ends in good order`, async () => {
    await using house = await serving({}, { dialer: failing(code) });
    for (const client of clients) {
      using wire = await Wire.to(house.at);
      wire.send(client.ask(echo), new Uint8Array(2000));
      const wanted = { socks5: expected.socks5, socks4: 91, http: expected.http }[client.protocol];
      if (client === http) {
        const { status, head, body } = await httpAnswer(wire);
        assertEquals(status, wanted);
        assertMatch(head, new RegExp(`^proxy-status: hopline; error=${expected.type};`, "im"));
        assertMatch(body, /^hop 2, exit \(socks5 10\.0\.0\.9:1080\), request: it went wrong\n$/);
      } else assertEquals(await client.answer(wire), wanted);
      assertEquals((await wire.rest()).length, 0, "nothing follows the answer but the end");
    }
    const { level, fields } = await house.logged("tunnel.failed");
    assertEquals([level, fields.error.code, fields.error.hop], ["warn", code, 2]);
  });
}

for (const client of clients) {
  const { protocol } = client;

  test(`a closed port and an unknown name, for ${protocol}`, async () => {
    await using house = await serving();
    const closed = { hostname: "127.0.0.1", port: await freePort() };
    const rows: [Endpoint, ErrorCode, string][] = [
      [closed, "refused", "connect"],
      [{ hostname: "name.invalid", port: 80 }, "resolve", "resolve"],
    ];
    for (const [index, [target, code, stage]] of rows.entries()) {
      using wire = await Wire.to(house.at);
      wire.send(client.ask(target));
      const wanted = { socks5: table[code].socks5, socks4: 91, http: table[code].http }[protocol];
      assertEquals(await client.answer(wire), wanted);
      wire.end();
      assertEquals(await wire.ending(), "fin");
      const { fields } = await house.logged("tunnel.failed", index + 1);
      const { error } = fields;
      assertEquals([error.code, error.hop, error.label, error.stage], [code, 0, "direct", stage]);
      assertEquals([fields.protocol, fields.target], [protocol, `${target.hostname}:${target.port}`]);
    }
  });

  test(`a dial that takes too long times out for ${protocol}`, async () => {
    // The system's own connect never takes long over loopback; a hop that accepts and says nothing does.
    await using silent = await scripted();
    await using house = await serving({ chains: { out: [`socks5://${silent.address}?timeout=300ms`] } });
    using wire = await Wire.to(house.at);
    wire.send(client.ask(echo));
    assertEquals(await client.answer(wire), { socks5: 6, socks4: 91, http: 504 }[protocol]);
    const { fields } = await house.logged("tunnel.failed");
    assertEquals([fields.error.code, fields.error.hop, fields.error.stage], ["timeout", 1, "auth"]);
  });

  test(`${protocol} hears of success only after the dial`, async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const dialer: Dialer = {
      async dial(target, ctx) {
        await promise;
        return await direct().dial(target, ctx);
      },
    };
    await using house = await serving({}, { dialer });
    using wire = await Wire.to(house.at);
    wire.send(client.ask(echo), "early");
    await rest(200);
    // SOCKS5's choice of a method may come, and nothing else.
    assertEquals(toHex(wire.received), protocol === "socks5" ? "05 00" : "");
    resolve();
    assertEquals(await client.answer(wire), client.success);
    assertEquals(fromUtf8(await wire.read(5)), "early");
  });

  test(`a refusal reaches a ${protocol} client that has sent 200 KB ahead`, async () => {
    await using house = await serving({}, { dialer: failing("refused") });
    for (let attempt = 0; attempt < 10; attempt++) {
      using wire = await Wire.to(house.at);
      wire.send(client.ask(echo), new Uint8Array(200_000));
      assertEquals(await client.answer(wire), { socks5: 5, socks4: 91, http: 502 }[protocol]);
      assertEquals((await wire.rest()).length, 0);
    }
  });

  test(`a refusal waits for a ${protocol} client that sends 2 MB before it listens`, async () => {
    await using house = await serving({}, { dialer: failing("refused") });
    using wire = await Wire.to(house.at);
    wire.socket.pause();
    wire.send(client.ask(echo));
    const piece = new Uint8Array(1 << 16);
    for (let sent = 0; sent < 2 << 20; sent += piece.length) {
      await new Promise((resolve) => wire.socket.write(piece, resolve));
      await rest(5);
    }
    wire.socket.resume();
    assertEquals(await client.answer(wire), { socks5: 5, socks4: 91, http: 502 }[protocol]);
    assertEquals([(await wire.rest()).length, wire.error], [0, undefined]);
  });
}

test("commands other than CONNECT are refused: BIND, UDP ASSOCIATE and what is none", async () => {
  await using house = await serving();
  for (const command of [2, 3, 9]) {
    using wire = await Wire.to(house.at);
    wire.send(Uint8Array.of(5, 1, 0, 5, command, 0, 1, 127, 0, 0, 1, 0, 80), "early");
    assertEquals(await socks5.answer(wire), 7);
    assertEquals((await wire.rest()).length, 0);
  }
  using four = await Wire.to(house.at);
  four.send(Uint8Array.of(4, 2, 0, 80, 127, 0, 0, 1, 0));
  assertEquals(toHex(await four.rest()), "00 5b 00 00 00 00 00 00");
});

const wrongRequests: [request: string, status: number][] = [
  ["CONNECT example.com HTTP/1.1\r\n\r\n", 400],
  ["CONNECT example.com:0 HTTP/1.1\r\n\r\n", 400],
  ["CONNECT example.com:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400],
  ["PUT / HTTP/1.1\r\n\r\n", 400],
  ["DELETE * HTTP/1.1\r\n\r\n", 405],
  [`CONNECT example.com:443 HTTP/1.1\r\nX: ${"x".repeat(70_000)}\r\n\r\n`, 431],
];

for (const [request, status] of wrongRequests) {
  test(`${status} answers ${request.slice(0, 60).replaceAll("\r\n", " ")}`, async () => {
    await using house = await serving();
    using wire = await Wire.to(house.at);
    wire.send(request);
    assertEquals((await httpAnswer(wire)).status, status);
    assertEquals((await wire.rest()).length, 0);
    wire.end();
    assertEquals(house.events.some(({ event }) => event === "tunnel.closed"), false);
  });
}

test("a request behind a refused one is not served", async () => {
  await using house = await serving();
  using wire = await Wire.to(house.at);
  const closed = { hostname: "127.0.0.1", port: await freePort() };
  wire.send(http.ask(closed), http.ask(echo));
  assertEquals((await httpAnswer(wire)).status, 502);
  assertEquals((await wire.rest()).length, 0);
  assertEquals(house.events.filter(({ fields }) => fields.target === echo.address).length, 0);
});
