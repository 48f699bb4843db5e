/**
 * Each client against its own server: at every chunk size, alone and over a connection.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { BufferedConn, type Endpoint } from "../../src/core/conn.ts";
import { background, deadline, drive, type Handshake, TooLong } from "../../src/core/handshake.ts";
import type { Gate, TunnelRequest } from "../../src/core/serve.ts";
import * as http from "../../src/protocols/http_connect.ts";
import * as socks4 from "../../src/protocols/socks4.ts";
import * as socks5 from "../../src/protocols/socks5.ts";
import { concat, fromUtf8, pieces, utf8 } from "../support/bytes.ts";
import { failureOf, proxyError, rejectionOf } from "../support/errors.ts";
import { FakeConn } from "../support/fake_conn.ts";
import { gateFor, tunnelFailure } from "../support/gates.ts";
import { answered, converse, everyChunking, run } from "../support/handshake.ts";
import { acceptConnect } from "../support/http.ts";

interface Pair {
  readonly name: string;
  readonly user?: string;
  connect(target: Endpoint, password?: string): Handshake<void>;
  accept(gate: Gate): Handshake<TunnelRequest>;
}

const pairs: Pair[] = [
  { name: "SOCKS5", connect: (target) => socks5.connect(target), accept: socks5.accept },
  {
    name: "SOCKS5 with a password",
    user: "alice",
    connect: (target, password = "secret") => socks5.connect(target, { username: "alice", password }),
    accept: socks5.accept,
  },
  { name: "SOCKS4", connect: (target) => socks4.connect(target, "alice"), accept: socks4.accept },
  { name: "HTTP", connect: (target) => http.connect(target), accept: acceptConnect },
  {
    name: "HTTP with a password",
    user: "alice",
    connect: (target, password = "secret") => http.connect(target, http.basic("alice", password)),
    accept: acceptConnect,
  },
];
const gate = ({ user }: Pair) => user === undefined ? null : gateFor(user, "secret");
const bound = { hostname: "127.0.0.1", port: 40000 };
const targets: Endpoint[] = [
  { hostname: "example.com", port: 443 },
  { hostname: "192.0.2.1", port: 1 },
  { hostname: "2001:db8::1", port: 65535 },
  { hostname: "n".repeat(255), port: 80 },
];
const chunks = [1, 2, 3, 4, 5, 7, 8, 10, 16, 64, 255, 256, 1000];

for (const pair of pairs) {
  for (const target of targets) {
    if (pair.name === "SOCKS4" && target.hostname.includes(":")) continue;
    test(`${pair.name} to ${target.hostname.slice(0, 20)} agrees at every chunk size`, () => {
      for (const chunk of chunks) {
        const accept = pair.accept(gate(pair));
        const { client, server } = converse(
          pair.connect(target),
          answered(accept, (request) => concat(request.accepted(bound), "early")),
          chunk,
        );
        assertEquals([client.error, server.error], [undefined, undefined], `chunks of ${chunk}`);
        assertEquals([server.result?.target, server.result?.user], [target, pair.user]);
        assertEquals([client.done, fromUtf8(client.rest), server.rest.length], [true, "early", 0]);
      }
    });
  }

  test(`${pair.name}: a failed tunnel is an error on the client's side`, () => {
    for (const chunk of chunks) {
      const server = answered(
        pair.accept(gate(pair)),
        (request) => request.refused(tunnelFailure("refused")),
      );
      const { client } = converse(pair.connect(targets[0]), server, chunk);
      const tells = pair.name.startsWith("SOCKS4") ? "upstream" : "target";
      assertEquals(proxyError(client.error).side, tells);
    }
  });

  if (pair.user !== undefined) {
    test(`${pair.name}: a wrong one gets nobody in, at any chunk size`, () => {
      for (const chunk of chunks) {
        const server = pair.accept(gate(pair));
        const { client, server: outcome } = converse(pair.connect(targets[0], "wrong"), server, chunk);
        assertEquals([proxyError(client.error).code, proxyError(client.error).side], ["auth", "upstream"]);
        assertEquals([proxyError(outcome.error).code, outcome.result], ["auth", undefined]);
      }
    });
  }

  /** All that a client writes, at once: what an eager client sends without waiting. */
  const eager = () => concat(...converse(pair.connect(targets[0]), served(pair), 1000).client.writes);

  test(`${pair.name}: over a connection, what follows the request is read once, at any chunking`, async () => {
    for (const cut of everyChunking(concat(eager(), "payload"), 20)) {
      const inner = new FakeConn(...cut, null);
      const conn = new BufferedConn(inner);
      const { target } = await drive(conn, pair.accept(gate(pair)), background, { peer: "client" });
      assertEquals(target, targets[0]);
      while (await conn.fill());
      assertEquals([fromUtf8(conn.buffered), inner.calls], ["payload", []]);
    }
  });

  test(`${pair.name}: over a connection, an end at any byte is an error`, async () => {
    const bytes = eager();
    for (let length = 0; length < bytes.length; length += length < 40 ? 1 : 17) {
      const conn = new BufferedConn(new FakeConn(...pieces(bytes.slice(0, length), 100), null));
      const error = await failureOf(drive(conn, pair.accept(gate(pair)), background, { peer: "client" }));
      assertEquals([error.code, error.side], ["closed", "client"]);
      assert(
        /^expected .*, but the connection ended after (nothing|\d+ bytes)$/.test(error.message),
        error.message,
      );
    }
  });

  test(`${pair.name}: the client leaves what follows the answer, over a connection`, async () => {
    const answers = concat(...converse(pair.connect(targets[0]), served(pair), 1000).server.writes);
    for (const size of [1, 3, answers.length + 5]) {
      const conn = new BufferedConn(new FakeConn(...pieces(concat(answers, "early"), size), null));
      await drive(conn, pair.connect(targets[0]), background, { peer: "upstream" });
      while (await conn.fill());
      assertEquals(fromUtf8(conn.buffered), "early");
    }
  });

  test(`${pair.name}: silence ends with the deadline, and cancelling with its reason`, async () => {
    for (const handshake of [() => pair.accept(gate(pair)), () => pair.connect(targets[0])]) {
      const silent = new FakeConn();
      const { ctx, done } = deadline(undefined, 5);
      const error = await failureOf(
        drive<unknown>(new BufferedConn(silent), handshake(), ctx, { peer: "client" }),
      );
      done();
      assertEquals([error.code, silent.calls], ["timeout", ["abort"]]);
      assert(error.message.startsWith("timed out after 5 ms waiting for the "), error.message);

      const reason = new Error("not wanted");
      const controller = new AbortController();
      const inner = new FakeConn();
      const driven = drive<unknown>(new BufferedConn(inner), handshake(), controller, { peer: "client" });
      controller.abort(reason);
      assertStrictEquals(await rejectionOf(driven), reason);
      assertEquals(inner.calls, ["abort"]);
    }
  });

  test(`${pair.name}: a handshake beyond its limit ends there`, async () => {
    const bytes = eager();
    for (const maxBytes of [1, 7, bytes.length - 1]) {
      const conn = new BufferedConn(new FakeConn(bytes));
      const driven = drive(conn, pair.accept(gate(pair)), background, { peer: "client", maxBytes });
      const error = await failureOf(driven);
      assert(error instanceof TooLong, error.message);
    }
    const exact = new BufferedConn(new FakeConn(bytes));
    await drive(exact, pair.accept(gate(pair)), background, { peer: "client", maxBytes: bytes.length });
  });
}

function served(pair: Pair): Handshake<TunnelRequest> {
  return answered(pair.accept(gate(pair)), (request) => request.accepted(bound));
}

test("a client that is refused gets its answer, and what it pipelined is left alone", async () => {
  const pipelined: [accept: (gate: Gate) => Handshake<TunnelRequest>, sent: Uint8Array][] = [
    [
      socks5.accept,
      concat(
        run(socks5.connect(targets[0], { username: "eve", password: "x" }), Uint8Array.of(5, 2)).writes[1],
      ),
    ],
    [socks4.accept, concat(...run(socks4.connect(targets[0]), utf8("")).writes)],
    [acceptConnect, concat(...run(http.connect(targets[0]), utf8("")).writes)],
  ];
  for (const [accept, message] of pipelined) {
    const sent = accept === socks5.accept ? concat(Uint8Array.of(5, 1, 2), message) : message;
    const inner = new FakeConn(concat(sent, "payload"));
    const conn = new BufferedConn(inner);
    const error = await failureOf(
      drive(conn, accept(gateFor("alice", "secret")), background, { peer: "client" }),
    );
    assertEquals([error.code, inner.calls], ["auth", []]);
    assert(inner.sent.length > 0 && fromUtf8(conn.buffered).endsWith("payload"));
  }
});
