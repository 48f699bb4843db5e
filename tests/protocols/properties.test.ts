/**
 * Laws of every handshake: under any bytes in any pieces it ends, alike, and with no error but a ProxyError.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { ipFromBytes } from "../../src/core/address.ts";
import { BufferedConn, type Endpoint } from "../../src/core/conn.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { background, drive, type Handshake } from "../../src/core/handshake.ts";
import type { TunnelRequest } from "../../src/core/serve.ts";
import * as http from "../../src/protocols/http_connect.ts";
import * as socks4 from "../../src/protocols/socks4.ts";
import * as socks5 from "../../src/protocols/socks5.ts";
import { concat, cutAt, hex, toHex, utf8 } from "../support/bytes.ts";
import { FakeConn } from "../support/fake_conn.ts";
import { gateFor } from "../support/gates.ts";
import { answered, converse, type Outcome, run } from "../support/handshake.ts";
import { acceptConnect } from "../support/http.ts";

const alice = { username: "alice", password: "secret" };
const target = { hostname: "a.b", port: 443 };
const gate = () => gateFor(alice.username, alice.password);

/** Every handshake, with bytes that it knows well. */
const handshakes: [name: string, make: () => Handshake<unknown>, valid: Uint8Array[]][] = [
  ["the SOCKS5 server", () => socks5.accept(null), [
    hex("05 01 00 05 01 00 01 c0 00 02 01 01 bb"),
    hex("05 02 00 02 05 01 00 03 03 61 2e 62 01 bb"),
  ]],
  ["the SOCKS5 server with users", () => socks5.accept(gate()), [
    concat(hex("05 01 02 01 05"), "alice", hex("06"), "secret", hex("05 01 00 03 03 61 2e 62 01 bb")),
  ]],
  ["the SOCKS4 server", () => socks4.accept(null), [
    hex("04 01 01 bb c0 00 02 01 61 00"),
    hex("04 01 01 bb 00 00 00 01 00 61 2e 62 00"),
  ]],
  ["the HTTP server", () => acceptConnect(null), [
    utf8("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b\r\n\r\n"),
    utf8("\r\nGET / HTTP/1.0\r\n\r\n"),
  ]],
  ["the HTTP server with users", () => acceptConnect(gate()), [
    utf8("CONNECT a.b:443 HTTP/1.1\r\nProxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n"),
  ]],
  ["the SOCKS5 client", () => socks5.connect(target), [hex("05 00 05 00 00 01 00 00 00 00 00 00")]],
  ["the SOCKS5 client with a password", () => socks5.connect(target, alice), [
    hex("05 02 01 00 05 00 00 03 02 61 62 00 00"),
  ]],
  ["the SOCKS4 client", () => socks4.connect(target), [hex("00 5a 00 00 00 00 00 00")]],
  ["the HTTP client", () => http.connect(target, retrying()), [
    utf8("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 407 x\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n"),
    utf8("HTTP/1.0 502 x\nProxy-Status: x; error=dns_error\n\n"),
  ]],
];

function retrying(): http.Authenticator {
  let left = 3;
  return { first: () => undefined, answer: () => left-- > 0 ? "Basic x" : undefined };
}

/** Valid bytes with damage, and bytes that never were valid. */
function anyInput(valid: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const damage = fc.record({ at: fc.nat(60), cut: fc.nat(3), put: fc.uint8Array({ maxLength: 3 }) });
  const damaged = fc.tuple(fc.constantFrom(...valid), fc.array(damage, { maxLength: 3 })).map((
    [bytes, damages],
  ) => damages.reduce((all, { at, cut, put }) => concat(all.slice(0, at), put, all.slice(at + cut)), bytes));
  const start = fc.tuple(fc.constantFrom(...valid), fc.nat(20)).map(([bytes, length]) =>
    bytes.slice(0, length)
  );
  const head = fc.oneof(damaged, start, fc.constant(new Uint8Array(0)));
  return fc.tuple(head, fc.uint8Array({ maxLength: 30 })).map((parts) => concat(...parts));
}

/** What can be told of an outcome from outside. */
function told({ writes, result, error, rest, done }: Outcome<unknown>) {
  const { target, user } = (result ?? {}) as Partial<TunnelRequest>;
  const code = error instanceof ProxyError ? error.code : error;
  return { done, target, user, code, writes: writes.map(toHex), rest: toHex(rest) };
}

for (const [name, make, valid] of handshakes) {
  test(`${name} takes what it knows`, () => {
    for (const bytes of valid.slice(0, 1)) assertEquals(told(run(make(), bytes)).code, undefined);
  });

  test(`${name} ends alike, whatever comes in whatever pieces`, () => {
    fc.assert(
      fc.property(anyInput(valid), fc.array(fc.nat(80)), (bytes, cuts) => {
        const whole = run(make(), bytes, { end: true });
        assert(whole.done);
        if (whole.error !== undefined) assert(whole.error instanceof ProxyError, String(whole.error));
        assertEquals(told(run(make(), cutAt(bytes, cuts), { end: true })), told(whole));
        const bytewise = Array.from(bytes, (byte) => Uint8Array.of(byte));
        assertEquals(told(run(make(), bytewise, { end: true })), told(whole));
      }),
      { numRuns: 500 },
    );
  });

  test(`${name} does the same over a connection`, async () => {
    await fc.assert(
      fc.asyncProperty(anyInput(valid), fc.array(fc.nat(80)), async (bytes, cuts) => {
        const inner = new FakeConn(...cutAt(bytes, cuts), null);
        const conn = new BufferedConn(inner);
        const outcome: { result?: unknown; error?: unknown } = {};
        try {
          outcome.result = await drive(conn, make(), background, { peer: "client" });
        } catch (error) {
          outcome.error = error;
        }
        while (await conn.fill());
        assertEquals(
          told({ ...outcome, done: true, writes: inner.writes, rest: conn.buffered }),
          told(run(make(), bytes, { end: true })),
        );
      }),
      { numRuns: 200 },
    );
  });
}

const anyPort = fc.integer({ min: 1, max: 65535 });
const anyV4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(ipFromBytes);
const anyV6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(ipFromBytes);
const anyChunk = fc.integer({ min: 1, max: 300 });

function arrives(client: Handshake<void>, accept: Handshake<TunnelRequest>, chunk: number): TunnelRequest {
  const { client: asked, server } = converse(
    client,
    answered(accept, (request) => request.accepted(null)),
    chunk,
  );
  assertEquals([asked.error, server.error], [undefined, undefined]);
  return server.result!;
}

const carriers: [
  name: string,
  hosts: fc.Arbitrary<string>,
  (to: Endpoint) => Handshake<void>,
  typeof acceptConnect,
][] = [
  ["SOCKS5", fc.oneof(fc.domain(), anyV4, anyV6), socks5.connect, socks5.accept],
  [
    "SOCKS4",
    fc.oneof(fc.domain(), anyV4.filter((host) => !host.startsWith("0.0.0."))),
    socks4.connect,
    socks4.accept,
  ],
  ["HTTP", fc.oneof(fc.domain(), anyV4, anyV6), http.connect, acceptConnect],
];
for (const [name, hosts, connect, accept] of carriers) {
  test(`any target arrives through ${name} as it was`, () => {
    fc.assert(fc.property(hosts, anyPort, anyChunk, (hostname, port, chunk) => {
      assertEquals(arrives(connect({ hostname, port }), accept(null), chunk).target, { hostname, port });
    }));
  });
}

const anySecret = fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }).filter((s) =>
  utf8(s).length < 256
);

test("any credentials arrive through SOCKS5 as they were", () => {
  fc.assert(fc.property(anySecret, anySecret, anyChunk, (username, password, chunk) => {
    const gate = gateFor(username, password);
    const request = arrives(socks5.connect(target, { username, password }), socks5.accept(gate), chunk);
    assertEquals([request.user, gate.knocks], [username, [[username, password]]]);
  }));
});

test("any credentials arrive through HTTP as they were", () => {
  fc.assert(fc.property(anySecret.filter((name) => !name.includes(":")), anySecret, (username, password) => {
    const gate = gateFor(username, password);
    const request = arrives(http.connect(target, http.basic(username, password)), acceptConnect(gate), 50);
    assertEquals([request.user, gate.knocks], [username, [[username, password]]]);
  }));
});
