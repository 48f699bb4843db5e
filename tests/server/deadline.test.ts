/**
 * One deadline for the whole handshake: clients that say nothing, or one byte at a time, are dropped, and those that
 * speak are served meanwhile.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fromUtf8 } from "../support/bytes.ts";
import { authority } from "../support/certificates.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { rest } from "../support/traffic.ts";
import { clients, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
let ca: string;
let house: Serving;
before(async () => {
  echo = stack.use(await echoOrigin());
  const issuer = await authority(directory, "deadline");
  const { cert, key } = await issuer.issue("localhost");
  ca = readFileSync(issuer.file, "utf8");
  const tls = { certificate: cert, key, required: false };
  house = stack.use(
    await serving({
      listeners: ["127.0.0.1:0", { address: "127.0.0.1:0", tls }],
      timeouts: { handshake: "700ms" },
    }),
  );
});
after(() => stack.disposeAsync());

/** Sends a byte now and then, until the connection has ended. */
async function drip(wire: Wire, byte: string): Promise<void> {
  for (; wire.alive; await rest(50)) wire.send(byte);
}

const openings: [what: string, begin: (wire: Wire) => void | Promise<void>, stage: string, why: RegExp][] = [
  ["says nothing", () => {}, "request", /timed out .* waiting for the client's first bytes/],
  ["greets and then says nothing", (wire) => wire.send("\x05\x01\x00"), "request", /SOCKS5 request/],
  [
    "sends its request's head for ever",
    (wire) => {
      wire.send("CONNECT example.com:443 HTTP/1.1\r\n");
      return drip(wire, "X");
    },
    "request",
    /the request's head/,
  ],
  [
    "sends a SOCKS4 user id for ever",
    (wire) => {
      wire.send("\x04\x01\x00\x50\x01\x02\x03\x04");
      return drip(wire, "j");
    },
    "request",
    /user id/,
  ],
  ["stops within its ClientHello", (wire) => wire.send("\x16\x03\x01\x02\x00\x01"), "tls", /TLS handshake/],
];

for (const [index, [what, begin, stage, why]] of openings.entries()) {
  test(`a client that ${what} is dropped, and others are served meanwhile`, async () => {
    const seen = house.events.length;
    using slow = await Wire.to(house.server.addresses[stage === "tls" ? 1 : 0]);
    const begun = begin(slow);
    for (const client of clients) {
      using wire = await Wire.to(house.at);
      wire.send(client.ask(echo), "early");
      assertEquals(await client.answer(wire), client.success);
      assertEquals(fromUtf8(await wire.read(5)), "early");
    }
    await slow.ending();
    await begun;
    slow.end();
    await house.logged("tunnel.failed", index + 1);
    const failed = house.events.slice(seen).find(({ event }) => event === "tunnel.failed");
    const { error, durationMs } = failed!.fields;
    assertEquals([error.code, error.hop, error.stage], ["timeout", 0, stage]);
    assertMatch(error.message, why);
    assertEquals(Number(durationMs) >= 700, true, `dropped after ${durationMs} ms`);
  });
}

test("a slow start inside TLS is held to the same deadline", async () => {
  await using patient = await serving({
    listeners: [{ address: "127.0.0.1:0", tls: houseTls() }],
    timeouts: { handshake: "1s" },
  });
  using wire = await Wire.tls(patient.at, { ca, servername: "localhost" });
  wire.send("\x05");
  const from = performance.now();
  await wire.ending();
  // The TLS handshake has had its share: the rest is what was left, not a second full time.
  assertEquals(performance.now() - from < 5000, true);
  const { fields } = await patient.logged("tunnel.failed");
  assertEquals(fields.error.code, "timeout");
});

test("the deadline ends with the handshake: a tunnel that is silent lives on", async () => {
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(echo));
  assertEquals(await socks5.answer(wire), socks5.success);
  await rest(1200);
  wire.send("still here");
  assertEquals(fromUtf8(await wire.read(10)), "still here");
});

test("two hundred silent clients do not keep one that speaks from being served", async () => {
  using clientsThatWait = new DisposableStack();
  await Promise.all(
    Array.from({ length: 200 }, async () => clientsThatWait.use(await Wire.to(house.at))),
  );
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(echo), "early");
  assertEquals(await socks5.answer(wire), socks5.success);
  assertEquals(fromUtf8(await wire.read(5)), "early");
});

function houseTls() {
  return {
    certificate: readFileSync(directory.join("deadline-1.pem"), "utf8"),
    key: readFileSync(directory.join("deadline-1.key"), "utf8"),
    required: true,
  };
}
