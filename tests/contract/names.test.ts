/**
 * Names: many tunnels to one name at once share a lookup, and a listener tells the address that it bound.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { background } from "../../src/core/handshake.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { resolve } from "../../src/runtime/resolve.ts";
import { currentRuntime } from "../../src/runtime/runtime.ts";

test("localhost is this machine, whatever the resolver says", async () => {
  assertEquals(await resolve("localhost", 4, background), ["127.0.0.1"]);
  assertEquals(await resolve("LOCALHOST.", 6, background), ["::1"]);
});

test("a failed lookup is told to everybody who waits for it, and is made anew for the next", async () => {
  for (let round = 0; round < 2; round++) {
    const lookups = Array.from({ length: 20 }, () => resolve("nobody.invalid", 4, background));
    for (const lookup of lookups) {
      assertEquals((await assertRejects(() => lookup, ProxyError)).code, "resolve");
    }
  }
});

test("one waiter's cancellation leaves the others their lookup", async () => {
  const controller = new AbortController();
  const reason = new Error("not wanted any more");
  const cancelled = resolve("nobody.invalid", 4, { signal: controller.signal });
  const other = resolve("nobody.invalid", 4, background);
  controller.abort(reason);
  assertEquals(await cancelled.catch((error) => error), reason);
  assertEquals((await assertRejects(() => other, ProxyError)).code, "resolve");
});

test("a listener at a name tells the address that it bound", async () => {
  const listener = await (await currentRuntime()).listen({ hostname: "localhost", port: 0 });
  try {
    assertEquals(["127.0.0.1", "::1"].includes(listener.addr.hostname), true, listener.addr.hostname);
  } finally {
    listener.close();
  }
});
