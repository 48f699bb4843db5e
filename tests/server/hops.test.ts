/**
 * Hops that lie, stall, leave early, send garbage or too much: the client gets a refusal that says so, never a hang
 * and never a byte that looks like tunnel data.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import type { ErrorCode } from "../../mod.ts";
import { hex } from "../support/bytes.ts";
import { clients, http, httpAnswer } from "./clients.ts";
import { serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const target = { hostname: "name.test", port: 443 };

/** What a hop does to whoever asks it. */
type Script = (wire: Wire) => Promise<void> | void;

const said = (...answers: string[]): Script => async (wire) => {
  for (const answer of answers) {
    await wire.read(1);
    wire.send(/^([0-9a-f]{2} ?)+$/.test(answer) ? hex(answer) : answer);
  }
  wire.end();
};
const endless: Script = async (wire) => {
  await wire.read(1);
  const filler = "a".repeat(8192);
  wire.send("HTTP/1.1 200 OK\r\nX: ");
  // Until the other side has had enough; the socket's own buffer takes the rest.
  for (let sent = 0; sent < 100 && wire.alive; sent++) wire.send(filler);
};

const rows: [
  scheme: string,
  what: string,
  script: Script,
  code: ErrorCode,
  stage: string,
  message: RegExp,
][] = [
  ["http", "closes at once", (wire) => wire.end(), "closed", "request", /connection ended after nothing/],
  ["http", "resets", (wire) => void wire.socket.destroy(), "closed", "request", /./],
  ["http", "stalls", () => {}, "timeout", "request", /timed out .* the answer to CONNECT/],
  ["http", "stops within its head", (wire) => wire.send("HTTP/1.1 200 OK\r\nA:"), "timeout", "request", /./],
  [
    "http",
    "closes within its head",
    said("HTTP/1.1 200 OK\r\n"),
    "closed",
    "request",
    /ended after 17 bytes/,
  ],
  ["http", "speaks no HTTP", said("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "protocol", "request", /./],
  ["http", "sends a head without end", endless, "protocol", "request", /longer than \d+ bytes/],
  ["http", "answers 101", said("HTTP/1.1 101 Switching\r\n\r\n"), "protocol", "request", /101/],
  ["http", "answers 403", said("HTTP/1.1 403 No\r\n\r\n<html>"), "denied", "request", /answered 403 No/],
  [
    "http",
    "answers 407",
    said("HTTP/1.1 407 Auth\r\nProxy-Authenticate: Negotiate\r\n\r\n"),
    "auth",
    "auth",
    /407/,
  ],
  ["http", "answers 302", said("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), "protocol", "request", /302/],
  ["socks5", "closes at once", (wire) => wire.end(), "closed", "auth", /ended after nothing/],
  ["socks5", "stalls", () => {}, "timeout", "auth", /timed out/],
  ["socks5", "speaks HTTP", said("HTTP/1.1 400 Bad\r\n\r\n"), "protocol", "auth", /expected SOCKS version 5/],
  ["socks5", "chooses what was not offered", said("05 02"), "protocol", "auth", /not offered/],
  ["socks5", "wants credentials", said("05 ff"), "auth", "auth", /wants credentials/],
  [
    "socks5",
    "closes within its reply",
    said("05 00", "05 00 00"),
    "closed",
    "request",
    /ended after 3 bytes/,
  ],
  [
    "socks5",
    "replies with a wrong version",
    said("05 00", "04 00 00 01 00 00 00 00 00 00"),
    "protocol",
    "request",
    /./,
  ],
  [
    "socks5",
    "replies with an odd address",
    said("05 00", "05 00 00 09 00 00 00 00 00 00"),
    "protocol",
    "request",
    /9/,
  ],
  ["socks5", "refuses", said("05 00", "05 05 00 01 00 00 00 00 00 00"), "refused", "request", /refused/],
  [
    "socks5",
    "gives a code of its own",
    said("05 00", "05 7f 00 01 00 00 00 00 00 00"),
    "failed",
    "request",
    /127/,
  ],
  ["socks4a", "closes at once", (wire) => wire.end(), "closed", "request", /ended/],
  ["socks4a", "rejects", said("00 5b 00 00 00 00 00 00"), "failed", "request", /91/],
  ["socks4a", "speaks SOCKS5", said("05 00 00 00 00 00 00 00"), "protocol", "request", /version 5/],
  ["http+tls", "speaks no TLS", said("HTTP/1.1 400 Bad\r\n\r\n"), "tls", "tls", /./],
  ["socks5+tls", "stalls", () => {}, "timeout", "tls", /TLS handshake/],
  ["socks5+tls", "closes at once", (wire) => wire.end(), "tls", "tls", /./],
];

for (const [scheme, what, script, code, stage, message] of rows) {
  test(`a ${scheme} hop that ${what} is ${code} in ${stage}`, async () => {
    await using hop = await scripted(script);
    await using house = await serving({
      hops: { office: `${scheme}://${hop.address}?timeout=500ms` },
      chains: { out: ["office"] },
    });
    await Promise.all(clients.map(async (client) => {
      using wire = await Wire.to(house.at);
      wire.send(client.ask(target), "data that nobody may answer");
      assertEquals(await client.answer(wire) === client.success, false);
      assertEquals((await wire.rest()).length, 0, "not one byte behind the refusal");
    }));
    await house.logged("tunnel.failed", clients.length);
    for (const { fields: { error } } of house.events.filter(({ event }) => event === "tunnel.failed")) {
      assertEquals([error.code, error.hop, error.stage], [code, 1, stage], error.message);
      assertEquals(error.label, `office (${scheme} ${hop.address})`);
      assertMatch(error.message, message);
    }
    for (const wire of hop.accepted) await wire.ending();
  });
}

test("what a hop sends behind its success is tunnel data, whatever it looks like", async () => {
  const garbage = "HTTP/1.1 403 Forbidden\r\n\r\n\x05\xff\x00";
  await using hop = await scripted(said(`HTTP/1.1 200 OK\r\n\r\n${garbage}`));
  await using house = await serving({ chains: { out: [`http://${hop.address}`] } });
  for (const client of clients) {
    using wire = await Wire.to(house.at);
    wire.send(client.ask(target));
    assertEquals(await client.answer(wire), client.success);
    assertEquals(new TextDecoder().decode(await wire.rest()), garbage);
    wire.end();
  }
  assertEquals(
    (await house.logged("tunnel.closed")).fields.bytesDown,
    new TextEncoder().encode(garbage).length,
  );
});

test("an informational answer before the success is not the answer", async () => {
  await using hop = await scripted(said("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"));
  await using house = await serving({ chains: { out: [`http://${hop.address}`] } });
  using wire = await Wire.to(house.at);
  wire.send(http.ask(target));
  assertEquals((await httpAnswer(wire)).status, 200);
  assertEquals(new TextDecoder().decode(await wire.rest()), "hello");
});

test("the hop that failed is the one that is named: the second of two", async () => {
  await using liar = await scripted(said("SSH-2.0-x\r\n\r\n"));
  await using near = await serving();
  await using house = await serving({
    hops: { near: `socks5://127.0.0.1:${near.at.port}`, liar: `http://${liar.address}` },
    chains: { out: ["near", "liar"] },
  });
  using wire = await Wire.to(house.at);
  wire.send(http.ask(target));
  const { status, body } = await httpAnswer(wire);
  assertEquals(status, 502);
  assertMatch(body, new RegExp(`^hop 2, liar \\(http ${liar.address}\\), request: `));
  const { fields } = await house.logged("tunnel.failed");
  assertEquals([fields.via, fields.error.hop], [["near", "liar"], 2]);
});

test("what a hop writes into its answer cannot forge the client's or a log line", async () => {
  await using hop = await scripted(said("HTTP/1.1 503 \x1b[31mX\x07 Set-Cookie: a=b\r\n\r\n"));
  await using house = await serving({ chains: { out: [`http://${hop.address}`] } });
  using wire = await Wire.to(house.at);
  wire.send(http.ask(target));
  const { head, body } = await httpAnswer(wire);
  // deno-lint-ignore no-control-regex -- what must not be there
  assertEquals(/[\x00-\x09\x0b-\x1f\x7f]/.test(head.replaceAll("\r", "") + body), false);
  const { fields } = await house.logged("tunnel.failed");
  // deno-lint-ignore no-control-regex -- what must not be there
  assertEquals(/[\x00-\x1f\x7f]/.test(JSON.stringify(fields)), false);
});

test("a hop may take as long as timeouts.connect says, or its own timeout", async () => {
  await using silent = await scripted();
  for (const [timeout, said] of [["", "300 ms"], ["?timeout=200ms", "200 ms"]]) {
    await using house = await serving({
      chains: { out: [`http://${silent.address}${timeout}`] },
      timeouts: { connect: "300ms" },
    });
    using wire = await Wire.to(house.at);
    wire.send(http.ask(target));
    assertEquals(await http.answer(wire), 504);
    const { error } = (await house.logged("tunnel.failed")).fields;
    assertEquals(error.message.includes(`timed out after ${said} waiting for the answer to CONNECT`), true);
  }
});
