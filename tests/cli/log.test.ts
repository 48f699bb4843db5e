/**
 * The log on standard error: one line for each event, as text or as JSON, with the contract's keys and no others.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { hopline } from "../support/hopline.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { clients, http, socks5 } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { endpoint, program } from "./program.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const alice = { username: "alice", password: "s3cret" };
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

/** One tunnel that works, one that fails, and one client without a word. */
async function traffic(address: string, credentials?: typeof alice): Promise<void> {
  const at = endpoint(address);
  for (const target of [echo, { hostname: "127.0.0.1", port: 1 }]) {
    using wire = await Wire.to(at);
    wire.send(socks5.ask(target, credentials), "12345");
    if (await socks5.answer(wire) === socks5.success) await wire.read(5);
    wire.end();
    await wire.ending();
  }
  using silent = await Wire.to(at);
  silent.end();
  await silent.ending();
}

test("JSON lines have exactly the contract's keys", async () => {
  await using hop = await hopline(["-L", "127.0.0.1:0"]);
  const listener = `alice:s3cret@127.0.0.1:0`;
  await using proxy = await hopline([
    "-L",
    listener,
    "-F",
    `socks5://${hop.address}`,
    "--log-level",
    "debug",
  ]);
  const trail = proxy.trail();
  await traffic(proxy.address, alice);
  const closed = await trail.find("tunnel.closed");
  const everywhere = ["time", "level", "event"];
  const tunnel = ["id", "listener", "client", "protocol", "user", "target", "via"];
  assertEquals(Object.keys(closed), [...everywhere, ...tunnel, "bytesUp", "bytesDown", "durationMs"]);
  const { time, id, client, durationMs, ...facts } = closed;
  assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assertMatch(client, /^127\.0\.0\.1:\d+$/);
  assertEquals([typeof id, typeof durationMs], ["number", "number"]);
  assertEquals(facts, {
    level: "info",
    event: "tunnel.closed",
    listener: proxy.address,
    protocol: "socks5",
    user: "alice",
    target: echo.address,
    via: [`socks5://${hop.address}`],
    bytesUp: 5,
    bytesDown: 5,
  });
  const failed = await trail.find("tunnel.failed", { level: "warn" });
  assertEquals(Object.keys(failed), [...everywhere, ...tunnel, "error", "durationMs"]);
  assertEquals(Object.keys(failed.error), ["code", "hop", "label", "stage", "message"]);
  const { code, hop: position, label, stage } = failed.error;
  assertEquals([code, position, label, stage], ["refused", 1, `socks5://${hop.address}`, "request"]);
  await trail.find("tunnel.failed", { level: "debug" });
  for (const line of proxy.output().trimEnd().split("\n")) {
    assertEquals(typeof JSON.parse(line).event, "string");
  }
});

test("text lines say the same", async () => {
  await using proxy = program(["-L", "127.0.0.1:0"]);
  const address = await proxy.address();
  await traffic(address);
  const time = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z";
  const facts = (target: string) =>
    `id=\\d+ listener=${address} client=127\\.0\\.0\\.1:\\d+ protocol=socks5 target=${target}`;
  await proxy.said(
    new RegExp(
      `^${time} info tunnel\\.closed ${facts(echo.address)}.* bytesUp=5 bytesDown=5 durationMs=\\d+$`,
      "m",
    ),
  );
  await proxy.said(
    new RegExp(
      `^${time} warn tunnel\\.failed ${
        facts("127\\.0\\.0\\.1:1")
      }.* error="hop 0, direct, connect: connection refused: 127\\.0\\.0\\.1:1 \\[refused\\]" durationMs=\\d+$`,
      "m",
    ),
  );
  for (const line of proxy.output().trimEnd().split("\n")) {
    assertMatch(line, new RegExp(`^${time} \\w+ \\w+\\.\\w+ `));
  }
});

const levels: [level: string, seen: string[]][] = [
  ["error", []],
  ["warn", ["warn"]],
  ["info", ["info", "warn"]],
  ["debug", ["debug", "info", "warn"]],
];

for (const [level, seen] of levels) {
  test(`--log-level ${level} lets ${seen.join(", ") || "nothing of this"} through`, async () => {
    const port = await freePort();
    await using proxy = program(["-L", `127.0.0.1:${port}`, "--log-level", level]);
    await traffic(await reachable(`127.0.0.1:${port}`));
    proxy.signal("SIGTERM");
    assertEquals(await proxy.exited, 0);
    const found = new Set(proxy.output().split("\n").map((line) => line.split(" ")[1]).filter(Boolean));
    assertEquals([...found].sort(), seen);
  });
}

/** Waits for a listener that is too quiet to say that it is ready. */
async function reachable(address: string): Promise<string> {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      (await Wire.to(endpoint(address)))[Symbol.dispose]();
      return address;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`nothing listens on ${address}`);
}

test("the file's log settings are taken, and the flags win over them", async () => {
  const config = { listeners: ["127.0.0.1:0"], log: { level: "debug", format: "json" } };
  const file = directory.write("log.json", JSON.stringify(config));
  await using json = program(["-c", file]);
  await json.said(/^\{"time":"[^"]+","level":"info","event":"listener\.ready","listener":"127\.0\.0\.1:\d+"/);
  await using text = program(["-c", file, "--log-format", "text"]);
  await text.said(/^\S+ info listener\.ready listener=127\.0\.0\.1:\d+/);
});

test("a target that is written like a second log line stays within its line", async () => {
  await using proxy = await hopline(["-L", "127.0.0.1:0", "--log-level", "debug"]);
  for (const client of clients) {
    using wire = await Wire.to(endpoint(proxy.address));
    wire.send(client.ask({ hostname: 'x"\r\n{"event":"forged"}\x1b[2J\x9b', port: 80 }));
    assertEquals(await client.answer(wire) === client.success, false);
    wire.end();
    await wire.ending();
  }
  using web = await Wire.to(endpoint(proxy.address));
  web.send("CONNECT \x1b]0;x\x07 HTTP/1.1\r\n\r\n");
  assertEquals(await http.answer(web), 400);
  await proxy.stop();
  // deno-lint-ignore no-control-regex -- what must not be there
  assertEquals(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(proxy.output()), false, proxy.output());
  for (const line of proxy.output().trimEnd().split("\n")) {
    assertEquals(JSON.parse(line).event === "forged", false);
  }
});
