/**
 * `hopline serve` and the kernel relay: a bulk tunnel is the kernel's, unless `--no-splice` says otherwise, and nobody
 * outside can tell the difference.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { bulk } from "./bulk.ts";
import { program } from "./program.ts";

const stack = new AsyncDisposableStack();
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

for (const [flags, carried] of [[[], 2], [["--no-splice"], 0]] as const) {
  test(`hopline ${flags.join(" ")}: ${carried} directions of a bulk tunnel are the kernel's`, async () => {
    await using hopline = program(["-L", "127.0.0.1:0", "--log-level", "debug", ...flags]);
    const result = await bulk(hopline.pid, await hopline.address(), echo, carried);
    assertEquals(result.carried, carried);
    const [, up, down] = await hopline.said(/tunnel\.closed .*bytesUp=(\d+) bytesDown=(\d+)/);
    assertEquals([Number(up), Number(down)], [result.moved, result.moved]);
    hopline.signal("SIGTERM");
    assertEquals(await hopline.exited, 0);
    assertEquals(/splice\.off/.test(hopline.output()), false);
  });
}

test("the second signal ends it while the kernel has a tunnel", async () => {
  await using hopline = program(["-L", "127.0.0.1:0"]);
  const address = await hopline.address();
  const cut = bulk(hopline.pid, address, echo, 1_000_000).catch((error: Error) => error);
  await bulk(hopline.pid, address, echo, 2);
  hopline.signal("SIGTERM");
  await new Promise((wait) => setTimeout(wait, 100));
  hopline.signal("SIGTERM");
  assertEquals(await hopline.exited, 0);
  assertMatch(String(await cut), /Error/);
});
