/**
 * `--workers N` and reloads: all workers take up what the supervisor has found to be good, and nobody is cut.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { after, before, test } from "node:test";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { rest } from "../support/traffic.ts";
import { serving } from "../server/serving.ts";
import { type Crew, crew, workerOf } from "./crew.ts";
import { echoes, standing } from "./tunnels.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

/** Opens tunnels one after another until each of the workers has had one. */
async function byAll(address: string, proxy: Crew, workers: readonly number[]): Promise<number> {
  const before = proxy.lines().length;
  for (let n = 1;; n++) {
    const closed = proxy.count("tunnel.closed");
    using wire = await standing(address, echo);
    wire.end();
    await wire.ending();
    await proxy.logged("tunnel.closed", closed + 1);
    const lines = proxy.lines().slice(before).filter(({ event }) => event === "tunnel.closed");
    if (workers.every((worker) => lines.some((line) => workerOf(line) === worker))) return n;
  }
}

test("reloads under load cut no tunnel and turn no client away", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const config = (n: number) => JSON.stringify({ listeners: [address], limits: { tunnels: 1000 + n } });
  const file = directory.write("reloads.json", config(0));
  await using proxy = crew(2, ["-c", file]);
  await proxy.address();
  const live = await Promise.all(Array.from({ length: 20 }, () => standing(address, echo)));
  let over = false;
  let served = 0;
  const come = (async () => {
    for (; !over; served++) {
      using wire = await standing(address, echo);
      await echoes(wire);
    }
  })();
  for (let n = 1; n <= 10; n++) {
    const before = served;
    writeFileSync(file, config(n));
    proxy.signal("SIGHUP");
    await proxy.logged("config.reloaded", n);
    while (served < before + 3) await rest(5);
  }
  over = true;
  await come;
  assertEquals(proxy.count("config.reloaded"), 10);
  assertEquals(proxy.count("listener.ready"), 1);
  assertEquals(proxy.lines().filter(({ level }) => level === "warn" || level === "error"), []);
  for (const wire of live) {
    await echoes(wire, "alive");
    wire[Symbol.dispose]();
  }
});

test("every worker takes up the new chain and the new listener, and so does one that comes later", async () => {
  await using hop = await serving();
  const address = `127.0.0.1:${await freePort()}`;
  const file = directory.write("chain.json", JSON.stringify({ listeners: [address, "127.0.0.2:0"] }));
  await using proxy = crew(2, ["-c", file]);
  const second = await proxy.address(1);
  const chains = { out: [`socks5://127.0.0.1:${hop.at.port}`] };
  writeFileSync(file, JSON.stringify({ listeners: [address, "127.0.0.2:0", "127.0.0.3:0"], chains }));
  proxy.signal("SIGHUP");
  await proxy.logged("config.reloaded");
  const listeners = proxy.lines().filter(({ event }) => event === "listener.ready").map(({ listener }) =>
    listener
  );
  assertEquals(listeners.length, 3);
  assertEquals(listeners.slice(0, 2), [address, second]);
  let tunnels = 0;
  for (const listener of listeners) tunnels += await byAll(listener, proxy, [1, 2]);
  process.kill(proxy.lines()[0].pid, "SIGKILL");
  const { worker: next } = await proxy.logged("worker.started", 3);
  const [one] = proxy.lines();
  tunnels += await byAll(listeners[2], proxy, [3 - one.worker, next]);
  await hop.logged("tunnel.closed", tunnels);
});

test("a bad configuration, or a port that is taken, is refused whole", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const file = directory.write("bad.json", JSON.stringify({ listeners: [address] }));
  await using proxy = crew(2, ["-c", file]);
  await proxy.address();
  const live = await standing(address, echo);
  const bad = [
    `{ "listeners": ["127.0.0.1:0"], "hosp": {} }`,
    JSON.stringify({ listeners: ["127.0.0.2:0", echo.address] }),
  ];
  for (const [index, text] of bad.entries()) {
    writeFileSync(file, text);
    proxy.signal("SIGHUP");
    await proxy.logged("config.refused", index + 1);
    await byAll(address, proxy, [1, 2]);
    await echoes(live);
  }
  assertEquals(
    [proxy.count("listener.ready"), proxy.count("config.refused"), proxy.count("config.reloaded")],
    [1, 2, 0],
  );
  writeFileSync(file, JSON.stringify({ listeners: [address] }));
  proxy.signal("SIGHUP");
  await proxy.logged("config.reloaded");
  await byAll(address, proxy, [1, 2]);
  await echoes(live);
  live[Symbol.dispose]();
});

test("a listener moves between one address and all of them on its port", async () => {
  const port = await freePort();
  const config = (hostname: string) =>
    JSON.stringify({
      listeners: [{ address: `${hostname}:${port}`, open: true }],
      access: { private: "allow" },
    });
  const file = directory.write("moved.json", config("127.0.0.1"));
  await using proxy = crew(2, ["-c", file]);
  await proxy.address();
  for (const [turn, hostname] of ["0.0.0.0", "127.0.0.1"].entries()) {
    writeFileSync(file, config(hostname));
    proxy.signal("SIGHUP");
    await proxy.logged("config.reloaded", turn + 1);
    assertEquals(await proxy.address(turn + 1), `${hostname}:${port}`);
    await byAll(`127.0.0.1:${port}`, proxy, [1, 2]);
  }
  assertEquals(proxy.lines().filter(({ level }) => level === "warn" || level === "error"), []);
});

test("--watch reloads all workers", async () => {
  const file = directory.write("watched.json", JSON.stringify({ listeners: ["127.0.0.1:0"] }));
  await using proxy = crew(2, ["-c", file, "--watch"]);
  await proxy.address();
  writeFileSync(file, JSON.stringify({ listeners: ["127.0.0.1:0", "127.0.0.2:0"] }));
  await byAll(await proxy.address(1), proxy, [1, 2]);
});
