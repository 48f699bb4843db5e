/**
 * The ClientHello: what is read out of it, at any cut into segments and records, and what is refused.
 *
 * @module
 */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import {
  type ClientHello,
  ClientHelloError,
  ClientHelloReader,
  maxClientHello,
} from "../../src/core/client_hello.ts";
import { concat, cutAt, hex, pieces, utf8 } from "../support/bytes.ts";
import {
  alpn,
  clientHello,
  clientHelloMessage,
  type Extension,
  records,
  serverName,
  vector,
} from "../support/client_hello.ts";

/** What the reader makes of bytes that come in these pieces. */
function outcome(arrivals: readonly Uint8Array[], most?: number): ClientHello | "more" | string {
  const reader = new ClientHelloReader(most);
  let head: Uint8Array = new Uint8Array(0);
  try {
    for (const piece of arrivals) {
      head = concat(head, piece);
      const hello = reader.read(head);
      if (hello !== undefined) return hello;
    }
    return "more";
  } catch (error) {
    assertInstanceOf(error, ClientHelloError);
    return (error as Error).message;
  }
}

const grease: Extension = [0x0a0a, new Uint8Array(0)];
const keyShare: Extension = [51, vector(2, hex("11 ec"), vector(2, new Uint8Array(1216)))];
const ech: Extension = [0xfe0d, new Uint8Array(250)];
const named = { serverName: "example.com", alpn: [] };

const hellos: [name: string, bytes: Uint8Array, expected: ClientHello][] = [
  ["a name", clientHello(serverName("example.com")), named],
  ["a name and ALPN", clientHello(alpn("h2", "http/1.1"), serverName("example.com")), {
    serverName: "example.com",
    alpn: ["h2", "http/1.1"],
  }],
  [
    "GREASE all over",
    clientHello(grease, serverName("example.com"), [0x1a1a, hex("00")], alpn("\n\n", "h2")),
    {
      serverName: "example.com",
      alpn: ["\n\n", "h2"],
    },
  ],
  ["a post-quantum key share of 1.2 KB", clientHello(keyShare, serverName("example.com"), ech), named],
  ["the outer name of ECH", clientHello(ech, serverName("example.com")), named],
  ["capitals", clientHello(serverName("EXAMPLE.Com")), named],
  ["a dot at the end", clientHello(serverName("example.com.")), named],
  ["an underscore and a label of digits", clientHello(serverName("_a.1.b-2.x9")), {
    serverName: "_a.1.b-2.x9",
    alpn: [],
  }],
  ["one label", clientHello(serverName("localhost")), { serverName: "localhost", alpn: [] }],
  ["no extension at all", records(clientHelloMessage(null)), { alpn: [] }],
  ["an empty list of extensions", clientHello(), { alpn: [] }],
  [
    "a record of TLS 1.0, 1.2 or later",
    concat(hex("16 03 03"), clientHello(serverName("example.com")).slice(3)),
    named,
  ],
  ["more behind it", concat(clientHello(serverName("example.com")), hex("14 03 03 00 01 01")), named],
];

for (const [name, bytes, expected] of hellos) {
  test(`a ClientHello with ${name} is read, whole and byte by byte`, () => {
    assertEquals(outcome([bytes]), expected);
    assertEquals(outcome(pieces(bytes, 1)), expected);
  });
}

test("a ClientHello split over records of any size is read as if it were whole", () => {
  const message = clientHelloMessage([grease, alpn("h2"), serverName("example.com")]);
  for (let size = 1; size <= message.length; size++) {
    assertEquals(outcome([records(message, size)]), { serverName: "example.com", alpn: ["h2"] });
  }
  assertEquals(outcome(pieces(records(message, 1), 1)), { serverName: "example.com", alpn: ["h2"] });
});

test("nothing is decided before the last byte", () => {
  const bytes = records(clientHelloMessage([serverName("example.com")]), 40);
  for (let end = 0; end < bytes.length; end++) assertEquals(outcome([bytes.slice(0, end)]), "more");
});

const nameless = [
  "192.0.2.1",
  "2001:db8::1",
  "[2001:db8::1]",
  "2130706433",
  "0x7f000001",
  "127.1",
  "a.0x7f",
  "a.b.1",
  "",
  ".",
  "a..b",
  ".a",
  "a b",
  "a\0b",
  "a:443",
  "a/b",
  "*.example.com",
  "b\xfccher.example",
  "a".repeat(64),
  `${"a.".repeat(127)}com`,
];

for (const name of nameless) {
  test(`${JSON.stringify(name.slice(0, 30))} is no server name`, () => {
    const bytes = Uint8Array.from(name, (character) => character.charCodeAt(0));
    assertEquals(outcome([clientHello(serverName(bytes))]), { alpn: [] });
  });
}

const message = clientHelloMessage([serverName("example.com")]);
const withLength = (length: number) =>
  concat(Uint8Array.of(1, length >> 16, length >> 8 & 255, length & 255), message.slice(4));

const broken: [name: string, bytes: Uint8Array, expected: string][] = [
  ["HTTP", utf8("GET / HTTP/1.1\r\n\r\n"), "expected a handshake record, got type 71"],
  ["SOCKS", hex("05 01 00"), "expected a handshake record, got type 5"],
  ["an alert", hex("15 03 01 00 02 02 28"), "expected a handshake record, got type 21"],
  ["SSL 2", hex("16 02"), "the record is not of TLS 1.x"],
  ["an empty record", hex("16 03 01 00 00"), "a record of 0 bytes"],
  ["a record that is too long", hex("16 03 01 40 01"), "a record of 16385 bytes"],
  ["another message", records(hex("02 00 00 00")), "expected a ClientHello, got message 2"],
  [
    "a length that is a lie",
    records(withLength(message.length - 5)),
    "a field is longer than the ClientHello",
  ],
  ["a byte too many", records(concat(withLength(message.length - 3), hex("00"))), "a field is shorter"],
  ["an extension twice", clientHello(serverName("a"), serverName("b")), "extension 0 stands twice"],
  ["GREASE twice", clientHello(grease, grease), "extension 2570 stands twice"],
  [
    "two names",
    clientHello([0, vector(2, hex("00"), vector(2, "a"), hex("00"), vector(2, "b"))]),
    "a field is shorter",
  ],
  [
    "a name of another type",
    clientHello([0, vector(2, hex("01"), vector(2, "a"))]),
    "a server name of an unknown type",
  ],
  ["an empty list of names", clientHello([0, hex("00 00")]), "a field is longer"],
  ["a byte behind the names", clientHello([0, concat(serverName("a")[1], hex("00"))]), "a field is shorter"],
  ["a name longer than its list", clientHello([0, hex("00 04 00 00 09 61")]), "a field is longer"],
  ["ALPN that is cut", clientHello([16, hex("00 03 02 68")]), "a field is longer"],
];

for (const [name, bytes, expected] of broken) {
  test(`refused: ${name}`, () => {
    for (const arrivals of [[bytes], pieces(bytes, 1)]) {
      const said = outcome(arrivals);
      assert(typeof said === "string" && said.startsWith(expected), JSON.stringify(said));
    }
  });
}

test("a record of another type within the message is refused", () => {
  const bytes = records(message, 20);
  bytes[25] = 23;
  assertEquals(outcome([bytes]), "expected a handshake record, got type 23");
});

test("64 KiB are waited for, headers included, and no more", () => {
  const filled = (size: number) => {
    const empty = clientHelloMessage([[9, new Uint8Array(0)], serverName("example.com")]);
    return records(clientHelloMessage([[9, new Uint8Array(size - empty.length)], serverName("example.com")]));
  };
  const most = maxClientHello - 4 * 5;
  assertEquals(filled(most).length, maxClientHello);
  assertEquals(outcome([filled(most)]), named);
  for (const arrivals of [[filled(most + 1)], pieces(filled(most + 1), 1000)]) {
    assertEquals(outcome(arrivals), "a ClientHello of more than 65536 bytes");
  }
  assertEquals(outcome([hex("16 03 01 00 04 01 01 00 00")]), "a ClientHello of 65540 bytes");
  assertEquals(outcome([clientHello(serverName("example.com"))], 64), "a ClientHello of more than 64 bytes");
});

test("a ClientHello in the smallest records does not take longer for it", () => {
  const bytes = records(clientHelloMessage([[9, new Uint8Array(9_000)], serverName("example.com")]), 1);
  assertEquals(outcome(pieces(bytes, 7)), named);
});

/** A ClientHello with damage. */
const damaged = fc.tuple(
  fc.constantFrom(...hellos.map(([, bytes]) => bytes), ...broken.map(([, bytes]) => bytes)),
  fc.array(fc.record({ at: fc.nat(200), cut: fc.nat(3), put: fc.uint8Array({ maxLength: 3 }) }), {
    maxLength: 3,
  }),
).map(([bytes, damages]) =>
  damages.reduce((all, { at, cut, put }) => concat(all.slice(0, at), put, all.slice(at + cut)), bytes)
);

test("whatever comes, in whatever pieces, the outcome is the same, and only one class of error", () => {
  fc.assert(
    fc.property(
      fc.oneof(damaged, fc.uint8Array({ maxLength: 100 })),
      fc.array(fc.nat(400), { maxLength: 8 }),
      (bytes, cuts) => {
        const whole = outcome([bytes]);
        assertEquals(outcome(cutAt(bytes, cuts)), whole);
        if (bytes.length < 500) assertEquals(outcome(pieces(bytes, 1)), whole);
      },
    ),
    { numRuns: 1000 },
  );
});

test("a name that is found is one that may be dialled", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (name) => {
    const hello = outcome([clientHello(serverName(name))]) as ClientHello;
    if (hello.serverName !== undefined) assert(/^[a-z0-9._-]+$/.test(hello.serverName));
  }));
  fc.assert(fc.property(fc.domain(), (name) => {
    assertEquals((outcome([clientHello(serverName(name))]) as ClientHello).serverName, name.toLowerCase());
  }));
});
