/**
 * Bodies: how long they are, at every chunking, and that nothing but one reading of them exists.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { BufferedConn } from "../../src/core/conn.ts";
import {
  chunk,
  type Framing,
  framingFields,
  readBody,
  requestFraming,
  responseFraming,
} from "../../src/core/http_body.ts";
import { type Field, formatTrailers, HeadError } from "../../src/core/http_head.ts";
import { concat, cutAt, fromUtf8, pieces, utf8 } from "../support/bytes.ts";
import { failureOf, thrownBy } from "../support/errors.ts";
import { FakeConn } from "../support/fake_conn.ts";

const rest = "GET / HTTP/1.1\r\n";

/** Reads a body that arrives in these pieces, then the end. */
async function read(arrivals: readonly Uint8Array[], framing: Framing) {
  const conn = new BufferedConn(new FakeConn(...arrivals, null));
  const body = readBody(conn, framing, "upstream");
  const parts: Uint8Array[] = [];
  for (;;) {
    const next = await body.next();
    if (next.done) return { body: concat(...parts), trailers: next.value, conn };
    assert(next.value.length > 0);
    parts.push(next.value);
  }
}

const bodies: [name: string, framing: Framing, sent: string, body: string, trailers?: Field[]][] = [
  ["none", { kind: "none" }, "", ""],
  ["a length of 0", { kind: "length", length: 0 }, "", ""],
  ["a length", { kind: "length", length: 5 }, "hello", "hello"],
  ["no chunk", { kind: "chunked" }, "0\r\n\r\n", ""],
  ["a chunk", { kind: "chunked" }, "5\r\nhello\r\n0\r\n\r\n", "hello"],
  ["chunks", { kind: "chunked" }, "1\r\nh\r\n4;x\r\nello\r\n000\r\n\r\n", "hello"],
  ["chunks that look like framing", { kind: "chunked" }, "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n"],
  ["trailers", { kind: "chunked" }, "A\r\n0123456789\r\n0\r\nA: b\r\nC:d \r\n\r\n", "0123456789", [
    ["a", "b"],
    ["c", "d"],
  ]],
];
for (const [name, framing, sent, body, trailers = []] of bodies) {
  test(`${name}, in any pieces, leaves what follows; any end within is one`, async () => {
    const bytes = utf8(sent + rest);
    for (let size = 1; size <= bytes.length; size++) {
      const result = await read(pieces(bytes, size), framing);
      assertEquals([fromUtf8(result.body), result.trailers], [body, trailers]);
      while (await result.conn.fill());
      assertEquals(fromUtf8(result.conn.buffered), rest);
    }
    for (let length = 0; length < sent.length; length++) {
      const { code, side, stage } = await failureOf(
        read([utf8(sent.slice(0, length))].filter((p) => p.length), framing),
      );
      assertEquals([code, side, stage], ["closed", "upstream", "relay"]);
    }
  });
}

test("a body to the end is all that comes", async () => {
  for (const size of [1, 3, 100]) {
    assertEquals(fromUtf8((await read(pieces(utf8("hello"), size), { kind: "close" })).body), "hello");
  }
  assertEquals((await read([], { kind: "close" })).body.length, 0);
});

test("any body survives its own framing, cut anywhere", async () => {
  const field = fc.tuple(fc.stringMatching(/^[a-z-]{1,8}$/), fc.stringMatching(/^[!-~]{0,8}$/));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 8 }),
      fc.array(field, { maxLength: 3 }),
      fc.array(fc.nat(1500), { maxLength: 12 }),
      async (parts, trailers, cuts) => {
        const sent = concat(...parts.map(chunk), "0\r\n", formatTrailers(trailers), rest);
        const result = await read(cutAt(sent, cuts), { kind: "chunked" });
        assertEquals([result.body, result.trailers], [concat(...parts), trailers]);
      },
    ),
    { numRuns: 300 },
  );
});

test("whatever comes, it ends as a body or as an error, and in any pieces alike", async () => {
  const piece = fc.constantFrom(
    "0",
    "1",
    "5",
    "ff",
    "\r\n",
    "\n",
    "\r",
    ";",
    "a: b",
    "hello",
    " ",
    "\0",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
  );
  const outcome = async (sent: Uint8Array, size: number) => {
    try {
      const { body, trailers, conn } = await read(pieces(sent, size), { kind: "chunked" });
      while (await conn.fill());
      return [fromUtf8(body), trailers, fromUtf8(conn.buffered)];
    } catch (error) {
      return [(error as { code: string }).code, String(error)];
    }
  };
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (parts) => {
      const sent = utf8(parts.join(""));
      const whole = await outcome(sent, 1000);
      assertEquals(await outcome(sent, 1), whole);
      assertEquals(await outcome(sent, 2), whole);
    }),
    { numRuns: 500 },
  );
});

test("a huge chunk is not waited for: its bytes come as they come", async () => {
  const inner = new FakeConn(utf8("1fffffffffffff\r\nhello"));
  const body = readBody(new BufferedConn(inner), { kind: "chunked" }, "client");
  assertEquals(fromUtf8((await body.next()).value as Uint8Array), "hello");
});

const head = (fields: Field[], minor = 1) => ({ method: "POST", target: "/", minor, fields });
const response = (status: number, fields: Field[], minor = 1) => ({ status, reason: "", minor, fields });

const framings: [fields: Field[], request: Framing["kind"], response: Framing["kind"]][] = [
  [[], "none", "close"],
  [[["content-length", "0"]], "length", "length"],
  [[["content-length", "9007199254740991"]], "length", "length"],
  [[["transfer-encoding", "chunked"]], "chunked", "chunked"],
  [[["transfer-encoding", "Chunked"]], "chunked", "chunked"],
];
test("framing follows the fields", () => {
  for (const [fields, request, answer] of framings) {
    assertEquals(requestFraming(head(fields)).kind, request);
    assertEquals(responseFraming(response(200, fields), "GET").kind, answer);
    for (const [status, method] of [[200, "HEAD"], [204, "GET"], [304, "GET"], [100, "GET"]] as const) {
      assertEquals(responseFraming(response(status, fields), method).kind, "none");
    }
    const framing = requestFraming(head(fields));
    assertEquals(
      requestFraming(head(framingFields(framing).map(([name, value]) => [name.toLowerCase(), value]))),
      framing,
    );
  }
});

test("what has no framing is refused, on both sides, even where no body follows", () => {
  const wrong: [fields: Field[], status: number][] = [
    [[["content-length", "1"], ["transfer-encoding", "chunked"]], 400],
    [[["content-length", "1"], ["content-length", "2"]], 400],
    [[["content-length", "1, 1"]], 400],
    [[["content-length", "9007199254740992"]], 400],
    [[["transfer-encoding", "chunked"], ["transfer-encoding", "chunked"]], 400],
    [[["transfer-encoding", "\xa0chunked"]], 400],
    [[["transfer-encoding", "cow, chunked"]], 501],
  ];
  for (const [fields, status] of wrong) {
    for (
      const parse of [
        () => requestFraming(head(fields)),
        () => responseFraming(response(304, fields), "HEAD"),
      ]
    ) {
      const error = thrownBy(parse);
      assert(error instanceof HeadError);
      assertEquals((error as HeadError).status, status);
    }
  }
  assert(thrownBy(() => requestFraming(head([["transfer-encoding", "chunked"]], 0))) instanceof HeadError);
  assert(
    thrownBy(() => requestFraming(head([["content-length", "1"], ["content-length", "1"]]))) instanceof
      HeadError,
  );
  assertEquals(
    responseFraming(response(200, [["content-length", "1"], ["content-length", "1"]]), "GET").kind,
    "length",
  );
});
