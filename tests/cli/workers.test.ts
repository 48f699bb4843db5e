/**
 * `--workers N`: several processes are one service, from its first line to its last, whatever becomes of one of them.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import process from "node:process";
import { after, before, test } from "node:test";
import { hoplineCommand } from "../support/hopline.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { eventually } from "../support/process.ts";
import { outcome } from "../support/traffic.ts";
import { clients } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { crew, gone, workerOf } from "./crew.ts";
import { endpoint } from "./program.ts";
import { echoes, standing } from "./tunnels.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

async function refusesAll(address: string): Promise<void> {
  await assertRejects(async () => {
    for (;;) (await Wire.to(endpoint(address)))[Symbol.dispose]();
  });
}

test("each listener is ready once, when all workers are; connections are spread, and ids stay unique", async () => {
  await using proxy = crew(2, ["-L", "127.0.0.1:0", "-L", "127.0.0.2:0"]);
  const address = await proxy.address();
  await proxy.address(1);
  const events = proxy.lines().map(({ event }) => event);
  assertEquals(events, ["worker.started", "worker.started", "listener.ready", "listener.ready"]);
  const started = proxy.lines().slice(0, 2);
  assertEquals(new Set(started.map(({ pid }) => pid)).size, 2);
  for (let n = 0; n < 40; n++) {
    using wire = await standing(address, echo);
    wire.end();
    await wire.ending();
  }
  await proxy.logged("tunnel.closed", 40);
  const closed = proxy.lines().filter(({ event }) => event === "tunnel.closed");
  assertEquals([...new Set(closed.map(workerOf))].sort(), [1, 2]);
  assertEquals(new Set(closed.map(({ id }) => id)).size, 40);
  assertEquals(proxy.count("listener.ready"), 2);
});

test("a worker that is killed is replaced, while the others serve", async () => {
  await using proxy = crew(2, ["-L", "127.0.0.1:0"]);
  const address = await proxy.address();
  const [first] = proxy.lines();
  process.kill(first.pid, "SIGKILL");
  const { worker, pid, signal } = await proxy.logged("worker.exited");
  assertEquals([worker, pid, signal], [first.worker, first.pid, "SIGKILL"]);
  const wires = await Promise.all(Array.from({ length: 20 }, () => standing(address, echo)));
  const { worker: third } = await proxy.logged("worker.started", 3);
  assertEquals(third, 3);
  for (let served = 0; served === 0;) {
    using wire = await standing(address, echo);
    wire.end();
    await wire.ending();
    served = proxy.lines().filter((line) => line.event === "tunnel.closed" && workerOf(line) === 3).length;
  }
  for (const wire of wires) {
    await echoes(wire, "still here");
    wire[Symbol.dispose]();
  }
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} drains all workers, and exits with 0; a second one ends them at once`, async () => {
    for (const twice of [false, true]) {
      await using proxy = crew(3, ["-L", "127.0.0.1:0"]);
      const address = await proxy.address();
      const wires = await Promise.all(Array.from({ length: 10 }, () => standing(address, echo)));
      proxy.signal(signal);
      await refusesAll(address);
      for (const wire of wires) await echoes(wire);
      assertEquals(await outcome(proxy.exited, 100), "pending");
      if (twice) proxy.signal(signal);
      else for (const wire of wires) wire.end();
      assertEquals(await proxy.exited, 0);
      for (const wire of wires) await wire.ending();
      assertEquals(/"(?:warn|error)"/.test(proxy.output()), false, proxy.output());
      for (const { pid } of proxy.lines().filter(({ event }) => event === "worker.started")) await gone(pid);
    }
  });
}

test("workers end when their supervisor is killed", async () => {
  await using proxy = crew(2, ["-L", "127.0.0.1:0"]);
  const address = await proxy.address();
  (await standing(address, echo))[Symbol.dispose]();
  const pids = proxy.lines().filter(({ event }) => event === "worker.started").map(({ pid }) => pid);
  proxy.signal("SIGKILL");
  await refusesAll(address);
  for (const pid of pids) await gone(pid);
});

test("a worker that is told to stop by others drains and is replaced", async () => {
  await using proxy = crew(2, ["-L", "127.0.0.1:0"]);
  await proxy.address();
  process.kill(proxy.lines()[0].pid, "SIGTERM");
  assertEquals((await proxy.logged("worker.exited")).code, 0);
  await proxy.logged("worker.started", 3);
});

test("a loop is found in whichever worker it comes in", async () => {
  const spare = crew(2, ["-L", "127.0.0.1:0"]);
  const port = endpoint(await spare.address()).port;
  spare.signal("SIGTERM");
  await spare.exited;
  for (const [listener, hop] of [["127.0.0.1", "127.0.0.1"], ["", "localhost"], ["", "127.0.0.3"]]) {
    const args = ["-L", `${listener}:${port}?open=true`, "-F", `socks5://${hop}:${port}`];
    await using proxy = crew(3, args);
    await proxy.address();
    const [client] = clients;
    for (let n = 1; n <= 12; n++) {
      using wire = await Wire.to({ hostname: "127.0.0.1", port });
      wire.send(client.ask(echo));
      assert(await client.answer(wire) !== client.success);
      wire.end();
      await wire.ending();
      await proxy.logged("tunnel.failed", 2 * n);
    }
    const failed = proxy.lines().filter(({ event }) => event === "tunnel.failed");
    const loops = failed.filter(({ error }) => error.code === "loop" && error.hop === 0);
    // The client's own connection and the one that came back: no more.
    assertEquals([failed.length, loops.length], [24, 12]);
    assert(new Set(loops.map(workerOf)).size > 1, "in several workers");
  }
});

test("lines of the log don't mix", async () => {
  await using proxy = crew(3, ["-L", "127.0.0.1:0", "--log-level", "debug"]);
  const address = await proxy.address();
  await Promise.all(Array.from({ length: 100 }, async () => {
    using wire = await standing(address, echo);
    wire.end();
    await wire.ending();
  }));
  await eventually(proxy.output, () => proxy.count("tunnel.closed") === 100 || undefined);
  for (const line of proxy.output().trimEnd().split("\n")) JSON.parse(line);
});

test("a port that is taken, even by another service of several workers, is exit status 1", async () => {
  await using proxy = crew(2, ["-L", "127.0.0.1:0"]);
  for (const taken of [echo.address, await proxy.address()]) {
    const { code, stderr } = await hoplineCommand(["-L", "127.0.0.1:0", "-L", taken, "--workers", "2"]);
    assertEquals(code, 1);
    assertMatch(stderr, new RegExp(`^hopline: can't listen on ${taken}: [^\\n]+\\n$`));
  }
});

test("--workers is a whole number", async () => {
  for (const workers of ["0", "-1", "1.5", "auto", "02", "257"]) {
    const { code, stderr } = await hoplineCommand(["-L", "127.0.0.1:0", `--workers=${workers}`]);
    const expected = `hopline: --workers is "${workers}"; expected a whole number from 1 to 256\n`;
    assertEquals([code, stderr], [2, expected]);
  }
});
