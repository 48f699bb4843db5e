/**
 * A listener inside TLS with Python's and openssl's clients: every way to end, to be cut off and to be refused, in both
 * versions of TLS.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { serving } from "../server/serving.ts";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { afterEndOrigin, echoOrigin, listen, type Origin } from "../support/origins.ts";
import { must, run } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const onDeno = !("Bun" in globalThis);
const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let own: Authority;
let certificate: Certificate;
let guest: Certificate;
let stranger: Certificate;
let echo: Origin;
let afterEnd: Origin;

before(async () => {
  own = await authority(directory, "listener");
  certificate = await own.issue("localhost");
  guest = await own.issue("guest");
  stranger = await (await authority(directory, "other")).issue("stranger");
  [echo, afterEnd] = [stack.use(await echoOrigin()), stack.use(await afterEndOrigin())];
});
after(() => stack.disposeAsync());

/** A forward to a target, inside TLS. */
function forwarding(to: Origin, clientCa?: string) {
  const tls = { certificate: certificate.cert, key: certificate.key, ...(clientCa && { clientCa }) };
  return serving({
    listeners: [{ address: "127.0.0.1:0", target: to.address, tls }],
    log: { level: "debug" },
  });
}

/** What a test's Python may use: the records are its own to send, in any pieces and as late as it likes. */
const client = `
import socket, ssl, struct, sys
port, version = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.maximum_version = ssl.TLSVersion.TLSv1_2 if version == "1.2" else ssl.TLSVersion.TLSv1_3
def connect():
    global raw, received, sent
    raw = socket.create_connection(("127.0.0.1", port))
    raw.settimeout(20)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
connect()
def flush():
    if sent.pending: raw.sendall(sent.read())
def more():
    data = raw.recv(65536)
    if data: received.write(data)
    else: received.write_eof()
def until(step):
    while True:
        try: return step()
        except ssl.SSLWantReadError:
            flush()
            more()
def handshake(last=flush, session=None):
    global tls
    tls = context.wrap_bio(received, sent, session=session)
    until(tls.do_handshake)
    last()
def say(data): tls.write(data); flush()
def notify():
    try: tls.unwrap()
    except ssl.SSLWantReadError: pass
def read_to_end():
    got = b""
    while True:
        try: data = until(lambda: tls.read(65536))
        except ssl.SSLZeroReturnError: return got + b" end"
        except (ssl.SSLEOFError, ssl.SSLSyscallError, ConnectionError): return got + b" cut"
        if not data: return got + (b" cut" if received.eof else b" end")
        got += data
def cut():
    raw.shutdown(socket.SHUT_WR)
    try: raw.recv(1)
    except ConnectionError: pass
def reset():
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
`;

/** Runs a client's steps; what it printed. */
async function talk(port: number, version: string, steps: string): Promise<string> {
  return (await must("python3", ["-c", client + steps, String(port), version])).stdout.toString().trim();
}

for (const version of ["1.2", "1.3"]) {
  test(`TLS ${version}: a client that ends first still gets the answer, and its end`, async () => {
    await using house = await forwarding(afterEnd);
    const steps = `handshake(); say(b"question"); notify(); flush(); print(read_to_end().decode())`;
    assertEquals(await talk(house.at.port, version, steps), "question end");
    const { fields } = await house.logged("tunnel.closed");
    assertEquals([fields.bytesUp, fields.bytesDown, fields.reason], [8, 8, undefined]);
  });

  test(`TLS ${version}: a target that ends first still gets the rest`, async () => {
    let got = "";
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("data", (chunk) => got += chunk).on("end", () => socket.destroy());
      socket.end("greeting");
    });
    await using target = await listen(server);
    await using house = await forwarding(target);
    const steps = `handshake(); print(read_to_end().decode()); say(b"late"); notify(); flush()`;
    assertEquals(await talk(house.at.port, version, steps), "greeting end");
    const { fields } = await house.logged("tunnel.closed");
    assertEquals([fields.bytesUp, fields.bytesDown, fields.reason], [4, 8, undefined]);
    assertEquals(got, "late");
  });

  const cuts: Record<string, string> = {
    "behind data": `handshake(); say(b"hello"); cut()`,
    "within a record": `handshake(); tls.write(b"hello"); raw.sendall(sent.read()[:-3]); raw.close()`,
    "by a reset": `handshake(); say(b"hello"); until(lambda: tls.read(5)); reset()`,
    // Deno can't tell this one, see docs/runtimes.md.
    ...(!(onDeno && version === "1.3") && {
      "behind two bytes": `handshake(); say(b"abc"); say(b"hi"); cut()`,
      "behind two bytes with the end of the handshake":
        `handshake(lambda: tls.write(b"hi") and flush()); cut()`,
    }),
  };
  for (const [name, steps] of Object.entries(cuts)) {
    test(`TLS ${version}: a client that is cut off ${name} has not ended`, async () => {
      let ended = 0;
      const server = createServer((socket) => {
        socket.on("error", () => {}).on("data", (chunk) => socket.write(chunk)).on("end", () => ended++);
      });
      await using target = await listen(server);
      await using house = await forwarding(target);
      await talk(house.at.port, version, steps);
      const { fields } = await house.logged("tunnel.closed");
      assertMatch(fields.reason, /without a close_notify|reset/i);
      // On Deno an abort reaches the target as an end.
      if (!onDeno) assertEquals(ended, 0);
    });
  }

  const ends: Record<string, string> = {
    "with its data": `handshake(); tls.write(b"ab"); tls.write(b"cdefg"); notify(); flush()`,
    "with the end of its handshake": `handshake(lambda: tls.write(b"hi") and notify() or flush())`,
    "and closes": `handshake(); say(b"hi"); notify(); flush(); raw.shutdown(socket.SHUT_WR)`,
  };
  for (const [name, steps] of Object.entries(ends)) {
    test(`TLS ${version}: a client that says its end ${name} has ended`, async () => {
      await using house = await forwarding(afterEnd);
      assertMatch(await talk(house.at.port, version, `${steps}; print(read_to_end().decode())`), / end$/);
      assertEquals((await house.logged("tunnel.closed")).fields.reason, undefined);
    });
  }

  test(`TLS ${version}: a handshake that comes byte by byte`, async () => {
    await using house = await forwarding(echo);
    const steps = `
def flush():
    for byte in sent.read(): raw.sendall(bytes([byte]))
handshake(flush); say(b"hello"); print(until(lambda: tls.read(5)).decode())`;
    assertEquals(await talk(house.at.port, version, steps), "hello");
  });

  test(`TLS ${version}: no protocol in common is told by an alert, and logged`, async () => {
    const tls = { certificate: certificate.cert, key: certificate.key };
    await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls }] });
    const steps = `
context.set_alpn_protocols(["smtp"])
try: handshake(); print(read_to_end())
except ssl.SSLError as error: print(error)`;
    // Deno's TLS sends no alerts within a handshake, see docs/runtimes.md.
    const told = onDeno ? /UNEXPECTED_EOF/ : /no application protocol|NO_APPLICATION_PROTOCOL/;
    assertMatch(await talk(house.at.port, version, steps), told);
    const { fields: { error } } = await house.logged("tunnel.failed");
    assertEquals([error.code, error.hop, error.label, error.stage], ["tls", 0, "client", "tls"]);
  });

  test(`TLS ${version}: the protocol that both speak is chosen`, async () => {
    const tls = { certificate: certificate.cert, key: certificate.key };
    await using house = await serving({ listeners: [{ address: "127.0.0.1:0", tls }] });
    const steps = `context.set_alpn_protocols(["smtp", "http/1.1"]); handshake()
print(tls.version(), tls.selected_alpn_protocol())`;
    assertEquals(await talk(house.at.port, version, steps), `TLSv${version} http/1.1`);
  });

  for (
    const [name, shown, expected] of [
      ["one of the right authority", () => guest, "new reused"],
      ["one of another", () => stranger, "refused refused"],
      ["none", () => undefined, "refused refused"],
    ] as const
  ) {
    test(`TLS ${version}: a client certificate is asked for, and the client shows ${name}, twice`, async () => {
      await using house = await forwarding(echo, own.file);
      const { cert, key } = shown() ?? { cert: "", key: "" };
      // What a refused client was given to resume with helps it no further.
      const steps = `
if "${cert}": context.load_cert_chain("${cert}", "${key}")
def attempt(session):
    try:
        handshake(session=session)
        say(b"hello")
        return until(lambda: tls.read(5)) == b"hello"
    except (ssl.SSLError, ConnectionError): return False
first = attempt(None)
session = tls.session
reused = tls.session_reused
connect()
again = attempt(session)
print("new" if first and not reused else "refused", "reused" if again and tls.session_reused else "refused")`;
      assertEquals(await talk(house.at.port, version, steps), expected);
      if (expected === "new reused") return;
      const { fields: { error } } = await house.logged("tunnel.failed", 2);
      assertEquals([error.code, error.label, error.stage], ["tls", "client", "tls"]);
    });
  }
}

test("TLS 1.1 is refused", async () => {
  await using house = await forwarding(echo);
  const args = [
    "s_client",
    "-tls1_1",
    "-cipher",
    "DEFAULT:@SECLEVEL=0",
    "-connect",
    `127.0.0.1:${house.at.port}`,
  ];
  const { stderr } = await run("openssl", args, { input: "" });
  assertMatch(stderr, onDeno ? /unexpected eof/ : /alert protocol version/);
  assertEquals((await house.logged("tunnel.failed")).fields.error.stage, "tls");
});
