/**
 * Limits are the whole service's, however its clients are spread over the workers: never one tunnel more, and none
 * refused while there is a place.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import process from "node:process";
import { after, before, test } from "node:test";
import { configured } from "../support/hopline.ts";
import { echoOrigin, listen, type Origin } from "../support/origins.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { httpAnswer, socks5 } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { type Crew, crew, workerOf } from "./crew.ts";
import { endpoint } from "./program.ts";
import { echoes, standing, tunnel } from "./tunnels.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

const denied = 2;

async function leaves(wire: Wire, proxy: Crew): Promise<void> {
  const before = proxy.count("tunnel.closed");
  wire.end();
  await wire.ending();
  await proxy.logged("tunnel.closed", before + 1);
}

for (const key of ["tunnels", "tunnelsPerClient"]) {
  test(`limits.${key} holds for all workers together, to the last place`, async () => {
    for (const limit of [2, 7]) {
      await using proxy = crew(
        3,
        configured(directory, { listeners: ["127.0.0.1:0"], limits: { [key]: limit } }),
      );
      const address = await proxy.address();
      const wires: Wire[] = [];
      for (let n = 0; n < limit; n++) wires.push(await standing(address, echo));
      for (let refused = 1; refused <= 10; refused++) {
        using wire = await tunnel(address, echo);
        assertEquals(wire.code, denied);
        const { error } = await proxy.logged("tunnel.failed", refused);
        assertEquals([error.code, error.hop], ["limit", 0]);
        assertMatch(error.message, new RegExp(`\\b${limit} tunnels .*\\(limits\\.${key}\\)`));
      }
      // A place that is given back, by whichever worker, can be had at whichever.
      for (let turn = 0; turn < 10; turn++) {
        await leaves(wires.shift()!, proxy);
        wires.push(await standing(address, echo));
        using wire = await tunnel(address, echo);
        assertEquals(wire.code, denied);
      }
      for (const wire of wires) {
        await echoes(wire);
        wire[Symbol.dispose]();
      }
    }
  });
}

test("limits.tunnelsPerUser holds for all workers together, and for each user by itself", async () => {
  const users = ["alice", "bob"].map((username) => ({ username, password: "secret" }));
  const config = { listeners: [{ address: "127.0.0.1:0", users }], limits: { tunnelsPerUser: 3 } };
  await using proxy = crew(2, configured(directory, config));
  const address = endpoint(await proxy.address());
  using wires = new DisposableStack();
  const status = async (user: string) => {
    const wire = wires.use(await Wire.to(address));
    const credentials = btoa(`${user}:secret`);
    wire.send(
      `CONNECT ${echo.address} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic ${credentials}\r\n\r\n`,
    );
    return (await httpAnswer(wire)).status;
  };
  for (const user of ["alice", "bob"]) {
    for (const expected of [200, 200, 200, 503, 503, 503, 503]) assertEquals(await status(user), expected);
  }
});

test("of many clients at once, exactly as many as there are places get one", async () => {
  const limits = { tunnels: 60, tunnelsPerClient: 50 };
  await using proxy = crew(3, configured(directory, { listeners: ["127.0.0.1:0"], limits }));
  const address = await proxy.address();
  for (let turn = 1; turn <= 3; turn++) {
    const wires = await Promise.all(Array.from({ length: 80 }, () => tunnel(address, echo)));
    assertEquals(wires.filter(({ code }) => code === socks5.success).length, 50);
    assertEquals(wires.filter(({ code }) => code === denied).length, 30);
    for (const wire of wires) {
      wire.end();
      await wire.ending();
      wire[Symbol.dispose]();
    }
    await proxy.logged("tunnel.closed", 50 * turn);
  }
});

test("the places of a worker that dies are free again", async () => {
  const config = { listeners: ["127.0.0.1:0"], limits: { tunnels: 10 } };
  await using proxy = crew(2, configured(directory, config));
  const address = await proxy.address();
  const wires: Wire[] = [];
  for (let n = 0; n < 10; n++) wires.push(await standing(address, echo));
  process.kill(proxy.lines()[0].pid, "SIGKILL");
  await proxy.logged("worker.exited");
  await proxy.logged("worker.started", 3);
  const left: Wire[] = [];
  for (const wire of wires) {
    const alive = await echoes(wire).then(() => true, () => false);
    if (alive) left.push(wire);
  }
  for (let n = left.length; n < 10; n++) left.push(await standing(address, echo));
  using wire = await tunnel(address, echo);
  assertEquals(wire.code, denied);
  for (const wire of [...wires, ...left]) wire[Symbol.dispose]();
});

test("other limits are taken up by all together", async () => {
  const config = (tunnels: number) => JSON.stringify({ listeners: ["127.0.0.1:0"], limits: { tunnels } });
  const file = directory.write("limits.json", config(8));
  await using proxy = crew(2, ["-c", file]);
  const address = await proxy.address();
  const wires: Wire[] = [];
  for (let n = 0; n < 8; n++) wires.push(await standing(address, echo));
  for (const [turn, limit] of [4, 12].entries()) {
    writeFileSync(file, config(limit));
    proxy.signal("SIGHUP");
    await proxy.logged("config.reloaded", turn + 1);
    while (wires.length >= limit) {
      using wire = await tunnel(address, echo);
      assertEquals(wire.code, denied);
      await leaves(wires.shift()!, proxy);
    }
    while (wires.length < limit) wires.push(await standing(address, echo));
    using wire = await tunnel(address, echo);
    assertEquals(wire.code, denied);
  }
  for (const wire of wires) wire[Symbol.dispose]();
  await proxy.logged("tunnel.closed", 17);
  const workers = new Set(proxy.lines().filter(({ event }) => event === "tunnel.closed").map(workerOf));
  assert(workers.size === 2);
});

test("a listener's bandwidth is parted among the workers", async () => {
  const rate = 512 * 1024;
  const block = Buffer.alloc(64 * 1024);
  await using source = await listen(
    createServer((socket) => {
      const more = () => {
        while (!socket.destroyed && socket.write(block));
      };
      socket.on("error", () => {}).on("drain", more);
      more();
    }),
    "127.0.0.1",
  );
  await using proxy = crew(
    2,
    configured(directory, { listeners: [{ address: "127.0.0.1:0", bandwidth: rate }] }),
  );
  const address = await proxy.address();
  using wires = new DisposableStack();
  const begun = performance.now();
  let bytes = 0;
  for (let n = 0; n < 8; n++) {
    const { socket } = wires.use(await tunnel(address, source));
    socket.on("data", (chunk: Uint8Array) => bytes += chunk.length);
  }
  const ready = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const now = performance.now();
  assert(bytes <= 1.05 * rate * (now - begun) / 1000, `${bytes} bytes`);
  // Should the system have given all of them to one worker, that has its half.
  assert(bytes >= 0.95 * rate / 2 * (now - ready) / 1000, `${bytes} bytes`);
});
