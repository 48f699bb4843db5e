/**
 * Signals: the first SIGINT or SIGTERM drains, a second one ends at once, SIGHUP reloads or refuses whole.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { after, before, test } from "node:test";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { command } from "../support/hopline.ts";
import { start } from "../support/process.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { outcome } from "../support/traffic.ts";
import { serving } from "../server/serving.ts";
import { Wire } from "../server/wire.ts";
import { endpoint, program } from "./program.ts";
import { echoes, standing } from "./tunnels.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} stops accepting, lets a live tunnel finish, and exits with 0`, async () => {
    await using proxy = program(["-L", "127.0.0.1:0"]);
    const address = await proxy.address();
    using wire = await standing(address, echo);
    proxy.signal(signal);
    await assertRejects(async () => {
      for (;;) (await Wire.to(endpoint(address)))[Symbol.dispose]();
    });
    await echoes(wire);
    assertEquals(await outcome(proxy.exited, 100), "pending");
    wire.end();
    assertEquals(await wire.ending(), "fin");
    assertEquals(await proxy.exited, 0);
  });

  test(`a second ${signal} exits at once`, async () => {
    await using proxy = program(["-L", "127.0.0.1:0"]);
    const address = await proxy.address();
    using wire = await standing(address, echo);
    proxy.signal(signal);
    await assertRejects(async () => {
      for (;;) (await Wire.to(endpoint(address)))[Symbol.dispose]();
    });
    proxy.signal(signal);
    assertEquals(await proxy.exited, 0);
    await wire.ending();
  });
}

test("without a tunnel SIGTERM exits with 0 and without a word about errors", async () => {
  await using proxy = program(["-L", "127.0.0.1:0"]);
  using _silent = await Wire.to(endpoint(await proxy.address()));
  proxy.signal("SIGTERM");
  assertEquals(await proxy.exited, 0);
  assertEquals(/error|warn/.test(proxy.output()), false, proxy.output());
});

test("after timeouts.drain the rest is cut, and the exit status is 0 all the same", async () => {
  const file = directory.write("drain.yaml", "listeners: ['127.0.0.1:0']\ntimeouts: { drain: 300ms }\n");
  await using proxy = program(["-c", file]);
  using wire = await standing(await proxy.address(), echo);
  proxy.signal("SIGTERM");
  assertEquals(await proxy.exited, 0);
  await wire.ending();
  assertMatch(proxy.output(), /tunnel\.closed .*reason="the server is stopping"/);
});

const forms: [name: string, write: (config: object) => string][] = [
  ["json", (config) => JSON.stringify(config)],
  ["ts", (config) => `export default ${JSON.stringify(config)};\n`],
];
for (const [extension, write] of forms) {
  test(`SIGHUP takes up a changed .${extension} file: the new chain is used, a live tunnel goes on`, async () => {
    await using hop = await serving();
    const listeners = [`127.0.0.1:${await freePort()}`];
    const file = directory.write(`reload.${extension}`, write({ listeners }));
    await using proxy = program(["-c", file]);
    const address = await proxy.address();
    using live = await standing(address, echo);
    const chains = { out: [`socks5://127.0.0.1:${hop.at.port}`] };
    writeFileSync(file, write({ listeners: [...listeners, "127.0.0.1:0"], chains }));
    proxy.signal("SIGHUP");
    await proxy.said(/config\.reloaded file=\S+reload/);
    using wire = await standing(address, echo);
    using _second = await standing(await proxy.address(1), echo);
    wire.end();
    assertEquals((await hop.logged("tunnel.closed")).fields.target, echo.address);
    await echoes(live);
  });
}

test("SIGHUP refuses a bad file whole: its problems are logged, and the old configuration stays", async () => {
  const listeners = [`127.0.0.1:${await freePort()}`];
  const file = directory.write("refused.json", JSON.stringify({ listeners }));
  await using proxy = program(["-c", file]);
  const address = await proxy.address();
  using live = await standing(address, echo);
  writeFileSync(
    file,
    `{\n  "listeners": ["127.0.0.1:0"],\n  "hosp": {},\n  "timeouts": { "idle": "x" }\n}\n`,
  );
  proxy.signal("SIGHUP");
  await proxy.said(/error config\.refused message="\S+refused\.json:3:3: hosp: /);
  await proxy.said(/error config\.refused message="\S+refused\.json:4:\d+: timeouts\.idle: /);
  await echoes(live);
  (await standing(address, echo))[Symbol.dispose]();
  assertEquals(proxy.output().match(/listener\.ready/g)?.length, 1);

  // A port that is taken is found only when it is tried.
  writeFileSync(file, JSON.stringify({ listeners: ["127.0.0.1:0", echo.address] }));
  proxy.signal("SIGHUP");
  await proxy.said(new RegExp(`error config\\.refused message="can't listen on ${echo.address}: `));
  (await standing(address, echo))[Symbol.dispose]();
  await echoes(live);

  writeFileSync(file, JSON.stringify({ listeners }));
  proxy.signal("SIGHUP");
  await proxy.said(/config\.reloaded/);
  await echoes(live);
});

test("SIGHUP without a file changes nothing", async () => {
  await using proxy = program(["-L", `127.0.0.1:${await freePort()}`]);
  const address = await proxy.address();
  using live = await standing(address, echo);
  proxy.signal("SIGHUP");
  await proxy.said(/config\.reloaded/);
  await echoes(live);
  (await standing(address, echo))[Symbol.dispose]();
});

test("a signal that comes with the first line of the log is heeded", async () => {
  const [runtime, ...before] = command;
  await using daemon = start(runtime, [...before, "-L", "127.0.0.1:0"]);
  let sent = false;
  daemon.onError(() => {
    if (!sent) process.kill(daemon.pid, "SIGTERM");
    sent = true;
  });
  assertEquals(await daemon.exited, 0);
});
