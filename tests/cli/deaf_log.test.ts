/**
 * Nobody reads the log any more: a log collector that restarts, a terminal that is closed. Service goes on.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { spawn } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fromUtf8 } from "../support/bytes.ts";
import { command } from "../support/hopline.ts";
import { echoOrigin } from "../support/origins.ts";
import { socks5 } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { endpoint } from "./program.ts";

test("tunnels go on when the reader of standard error has gone", async () => {
  await using echo = await echoOrigin();
  const [runtime, ...before] = command;
  const child = spawn(runtime, [...before, "-L", "127.0.0.1:0"], { stdio: ["ignore", "ignore", "pipe"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  try {
    const line = await new Promise<string>((resolve) =>
      child.stderr!.once("data", (data) => resolve(String(data)))
    );
    child.stderr!.destroy();
    const at = endpoint(/listener=(\S+)/.exec(line)![1]);
    for (let round = 0; round < 4; round++) {
      using wire = await Wire.to(at);
      wire.send(socks5.ask(echo), "hello");
      assertEquals(await socks5.answer(wire), 0);
      assertEquals(fromUtf8(await wire.read(5)), "hello");
      wire.end();
      assertEquals(await wire.ending(), "fin");
    }
  } finally {
    process.kill(child.pid!, "SIGKILL");
    await exited;
  }
});
