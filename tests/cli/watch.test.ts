/**
 * `--watch`: a changed file is taken up without a signal; and reloads, however many, cut nobody.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { renameSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { watchFiles } from "../../src/cli/watch.ts";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { rest } from "../support/traffic.ts";
import { program } from "./program.ts";
import { echoes, standing, tunnel } from "./tunnels.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

test("a configuration is taken up when it changes, in place or by another in its place", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const file = directory.write("watched.json", JSON.stringify({ listeners: [address] }));
  await using proxy = program(["-c", file, "--watch"]);
  using live = await standing(await proxy.address(), echo);
  writeFileSync(file, JSON.stringify({ listeners: [address, "127.0.0.1:0"] }));
  using _second = await standing(await proxy.address(1), echo);
  const other = directory.write("other.json", JSON.stringify({ listeners: [address, "127.0.0.2:0"] }));
  renameSync(other, file);
  using _third = await standing(await proxy.address(2), echo);
  await echoes(live, "still here");
});

test("so is a file that the configuration names, and one that was refused once it is mended", async () => {
  const list = directory.write("blocked.txt", "blocked.test\n");
  const config = {
    listeners: ["127.0.0.1:0"],
    routes: [{ to: [{ file: "blocked.txt" }], via: "reject" }, { via: "direct" }],
  };
  const file = directory.write("lists.json", JSON.stringify(config));
  await using proxy = program(["-c", file, "--watch"]);
  const address = await proxy.address();
  (await standing(address, echo))[Symbol.dispose]();
  writeFileSync(list, "not a name\n");
  await proxy.said(/config\.refused .*blocked\.txt:1/);
  (await standing(address, echo))[Symbol.dispose]();
  writeFileSync(list, "127.0.0.1\n");
  await proxy.said(/config\.reloaded/);
  using wire = await tunnel(address, echo);
  assertEquals(wire.code, 2);
});

test("a file that changed between being read and the first look is noticed", async () => {
  const file = directory.write("raced.json", "{}");
  const noticed = Promise.withResolvers<void>();
  const files = new Map([[file, "what it was when it was read"]]);
  const stop = watchFiles(() => files, () => Promise.resolve(noticed.resolve()));
  await noticed.promise;
  stop();
});

test("twenty reloads under load cut no tunnel and turn no client away", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  const config = (n: number) =>
    JSON.stringify({ listeners: [address], chains: {}, limits: { tunnels: 1000 + n } });
  const file = directory.write("reloads.json", config(0));
  await using proxy = program(["-c", file]);
  await proxy.address();
  const live = await Promise.all(Array.from({ length: 30 }, () => standing(address, echo)));
  let over = false;
  let turns = 0;
  const talk = Promise.all(live.map(async (wire) => {
    for (; !over; turns++) await echoes(wire, "ping");
  }));
  let served = 0;
  const come = (async () => {
    for (; !over; served++) {
      using wire = await standing(address, echo);
      await echoes(wire, "hello");
    }
  })();
  for (let n = 1; n <= 20; n++) {
    const [before, turned] = [served, turns];
    writeFileSync(file, config(n));
    proxy.signal("SIGHUP");
    await proxy.said(new RegExp(`(?:config\\.reloaded[^]*?){${n}}`));
    while (served < before + 3 || turns < turned + 30) await rest(5);
  }
  over = true;
  await Promise.all([talk, come]);
  assertEquals([...proxy.output().matchAll(/config\.reloaded/g)].length, 20);
  assertEquals(/ (error|warn) /.test(proxy.output()), false, proxy.output());
  for (const wire of live) {
    await echoes(wire, "alive");
    wire[Symbol.dispose]();
  }
});
