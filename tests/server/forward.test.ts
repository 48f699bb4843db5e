/**
 * Port forwards: every connection goes to one target, nothing is sniffed, and a target that can't be reached is told
 * by a reset or an end, for want of words.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fromUtf8, utf8 } from "../support/bytes.ts";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { afterEndOrigin, echoOrigin, type Origin } from "../support/origins.ts";
import { start } from "../support/process.ts";
import { served } from "../support/served.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
let issuer: Authority;
let certificate: Certificate;
before(async () => {
  echo = stack.use(await echoOrigin());
  issuer = await authority(directory, "forward");
  certificate = await issuer.issue("localhost");
});
after(() => stack.disposeAsync());

test("whatever the client says goes to the target, a proxy's greeting too", async () => {
  await using house = await serving({ listeners: [`tcp://127.0.0.1:0/${echo.address}`] });
  using wire = await Wire.to(house.at);
  const greeting = socks5.ask(echo);
  wire.send(greeting);
  assertEquals(await wire.read(greeting.length), greeting);
  wire.end();
  assertEquals(await wire.ending(), "fin");
  const { fields } = await house.logged("tunnel.closed");
  assertEquals(
    [fields.protocol, fields.target, fields.bytesUp, fields.bytesDown],
    ["tcp", echo.address, greeting.length, greeting.length],
  );
});

test("a target that speaks first is heard", async () => {
  await using server = await scripted((wire) => wire.send("220 ready\r\n"));
  await using house = await serving({ listeners: [`tcp://127.0.0.1:0/${server.address}`] });
  using wire = await Wire.to(house.at);
  assertEquals(await wire.readThrough("\r\n"), "220 ready\r\n");
});

test("a half-close passes", async () => {
  await using server = await afterEndOrigin();
  await using house = await serving({ listeners: [`tcp://127.0.0.1:0/${server.address}`] });
  using wire = await Wire.to(house.at);
  wire.send("all of it");
  wire.end();
  assertEquals(fromUtf8(await wire.rest()), "all of it");
});

/** A target that says its word and ends; one of node:net on Deno would lose it where the client has ended before. */
const speaker = `import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    c, _ = s.accept()
    c.sendall(b"220 bye")
    c.close()`;

test("a client that ends at once hears what the target says before it ends", async () => {
  const port = await freePort();
  await using target = await served({ daemon: start("python3", ["-c", speaker, String(port)]), port });
  await using house = await serving({ listeners: [`tcp://127.0.0.1:0/${target.address}`] });
  for (let client = 1; client <= 10; client++) {
    using wire = await Wire.to(house.at);
    wire.end();
    assertEquals(fromUtf8(await wire.rest()), "220 bye");
    assertEquals((await house.logged("tunnel.closed", client)).fields.bytesDown, 7);
  }
});

test("a forward goes through the chain", async () => {
  await using hop = await serving();
  await using house = await serving({
    listeners: [`tcp://127.0.0.1:0/${echo.address}`],
    hops: { exit: `socks5://127.0.0.1:${hop.at.port}` },
    chains: { out: ["exit"] },
  });
  using wire = await Wire.to(house.at);
  wire.send("through");
  assertEquals(fromUtf8(await wire.read(7)), "through");
  wire.end();
  assertEquals((await house.logged("tunnel.closed")).fields.via, ["exit"]);
  assertEquals((await hop.logged("tunnel.closed")).fields.target, echo.address);
});

test("a forward inside TLS terminates it", async () => {
  const pem = `cert=${certificate.cert}&key=${certificate.key}`;
  await using house = await serving({ listeners: [`tcp+tls://127.0.0.1:0/${echo.address}?${pem}`] });
  const ca = readFileSync(issuer.file, "utf8");
  using wire = await Wire.tls(house.at, { ca, servername: "localhost" });
  wire.send("secret");
  assertEquals(fromUtf8(await wire.read(6)), "secret");
  using plain = await Wire.to(house.at);
  plain.send("not TLS at all\r\n");
  await plain.ending();
  assertEquals(fromUtf8(plain.received).includes("not TLS"), false, "nothing reached the target");
  assertEquals((await house.logged("tunnel.failed")).fields.error.stage, "tls");
});

test("a target that can't be reached ends the connection without a byte", async () => {
  await using house = await serving({ listeners: [`tcp://127.0.0.1:0/127.0.0.1:${await freePort()}`] });
  using wire = await Wire.to(house.at);
  wire.socket.write(utf8("hello"));
  await wire.ending();
  assertEquals(wire.received.length, 0);
  const { fields } = await house.logged("tunnel.failed");
  assertEquals([fields.error.code, fields.protocol], ["refused", "tcp"]);
});
