/**
 * `hopline serve`: where its listeners and its chain come from, and what it says when a port can't be had.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { fromUtf8 } from "../support/bytes.ts";
import { configured, hopline, hoplineCommand } from "../support/hopline.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { socks5 } from "../server/clients.ts";
import { type Serving, serving } from "../server/serving.ts";
import { Wire } from "../server/wire.ts";
import { endpoint, program } from "./program.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
/** The hop of the tests' chains: what comes through it is in its log. */
let hop: Serving;
before(async () => {
  echo = stack.use(await echoOrigin());
  hop = stack.use(await serving());
});
after(() => stack.disposeAsync());

/** Opens a tunnel through a listener and answers by how many ways the hop was passed on this occasion. */
async function passes(address: string): Promise<number> {
  const seen = hop.events.length;
  const wire = await Wire.to(endpoint(address));
  wire.send(socks5.ask(echo), "early");
  assertEquals(await socks5.answer(wire), 0);
  assertEquals(fromUtf8(await wire.read(5)), "early");
  wire.end();
  await wire.ending();
  return hop.events.slice(seen).filter(({ event }) => event === "tunnel.closed").length;
}

const exit = () => `socks5://127.0.0.1:${hop.at.port}`;

const files: Record<string, () => string> = {
  "a.json": () => JSON.stringify({ listeners: ["127.0.0.1:0"], chains: { out: [exit()] } }),
  "a.jsonc": () => `{ // comment\n "listeners": ["127.0.0.1:0"], "chains": { "out": ["${exit()}"] } }`,
  "a.yaml": () => `listeners: ["127.0.0.1:0"]\nhops:\n  exit: ${exit()}\nchains: { out: [exit] }\n`,
  "a.toml": () => `listeners = ["127.0.0.1:0"]\n[hops]\nexit = "${exit()}"\n[chains]\nout = ["exit"]\n`,
  "a.ts": () => `export default { listeners: ["127.0.0.1:0"], chains: { out: ["${exit()}"] } };\n`,
};

for (const [name, text] of Object.entries(files)) {
  test(`-c ${name} says where to listen and which way to go`, async () => {
    await using proxy = await hopline(["-c", directory.write(name, text())]);
    assertEquals(await passes(proxy.address), 1);
  });
}

test("-L and -F alone", async () => {
  await using proxy = await hopline(["-L", "socks5://127.0.0.1:0", "-F", exit()]);
  assertEquals(await passes(proxy.address), 1);
});

test("each -F is the next hop, in order", async () => {
  await using last = await serving();
  await using proxy = await hopline([
    "-L",
    "127.0.0.1:0",
    "-F",
    exit(),
    "-F",
    `http://127.0.0.1:${last.at.port}`,
  ]);
  assertEquals(await passes(proxy.address), 1);
  assertEquals((await last.logged("tunnel.closed")).fields.target, echo.address);
});

test("flags add a listener to the file's, and a chain named cli that is taken", async () => {
  const file = configured(directory, {
    listeners: ["127.0.0.1:0"],
    chains: { out: ["socks5://127.0.0.1:1"] },
    log: { level: "debug" },
  });
  await using proxy = await hopline([...file, "-L", "127.0.0.1:0", "-F", exit()], 2);
  assertEquals(proxy.addresses.length, 2);
  for (const address of proxy.addresses) assertEquals(await passes(address), 1);
});

test("without a hop it connects directly", async () => {
  await using proxy = await hopline(["-L", "127.0.0.1:0"]);
  assertEquals(await passes(proxy.address), 0);
});

test("without a listener it is 127.0.0.1:1080, named when it is taken", async () => {
  const port = 1080;
  const taken = createServer();
  const free = await new Promise<boolean>((resolve) => {
    taken.once("error", () => resolve(false));
    taken.listen({ host: "127.0.0.1", port }, () => resolve(true));
  });
  const { code, stderr } = await hoplineCommand([]);
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^hopline: can't listen on 127\.0\.0\.1:1080: .*in use.*; choose another address with -L/,
  );
  if (!free) return;
  await new Promise((resolve) => taken.close(resolve));
  await using proxy = await hopline([]);
  assertEquals(proxy.addresses, ["127.0.0.1:1080"]);
  assertEquals(await passes(proxy.address), 0);
});

test("a taken port is exit status 1 and one line, and the other listener is not left behind", async () => {
  const taken = `127.0.0.1:${echo.port}`;
  const { code, stdout, stderr } = await hoplineCommand(["-L", "127.0.0.1:0", "-L", taken]);
  assertEquals([code, String(stdout)], [1, ""]);
  assertMatch(stderr, new RegExp(`^hopline: can't listen on ${taken}: [^\\n]+\\n$`));
});

test("serve is the default command", async () => {
  for (const args of [["serve", "-L", "127.0.0.1:0"], ["-L", "127.0.0.1:0"]]) {
    await using proxy = program(args);
    assertEquals(await passes(await proxy.address()), 0);
  }
});
