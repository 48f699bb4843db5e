/**
 * `hopline serve` without descriptors: it rests, says so to those who ask for more, and recovers.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { socks5 } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { echoOrigin } from "../support/origins.ts";
import { eventually } from "../support/process.ts";
import { endpoint, program } from "./program.ts";

const most = 120;
const denied = 2;

/** The processor time that a process has taken, in seconds. */
function taken(pid: number): number {
  const [, fields] = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ");
  const [user, system] = fields.split(" ").slice(11, 13).map(Number);
  return (user + system) / 100;
}

test("more clients than there are descriptors cost no time, and are served when others have gone", async () => {
  await using echo = await echoOrigin();
  const few = ["sh", "-c", `ulimit -n ${most} && exec "$0" "$@"`];
  await using hopline = program(["-L", "127.0.0.1:0", "--no-splice"], {}, few);
  const at = endpoint(await hopline.address());
  using early = await Wire.to(at);
  early.send(Uint8Array.of(5, 1, 0));
  await early.read(2);
  // Whoever comes too late waits in the system's queue, or is sent away.
  const crowd: (Wire | undefined)[] = [];
  for (let n = 0; n < 2 * most; n++) crowd.push(await Wire.to(at).catch(() => undefined));
  await eventually(
    () => `descriptors of ${hopline.pid}`,
    () => readdirSync(`/proc/${hopline.pid}/fd`).length >= most - 20 || undefined,
  );
  const before = taken(hopline.pid);
  await new Promise((pass) => setTimeout(pass, 2000));
  assert(taken(hopline.pid) - before < 0.5, "it asks again and again for clients that it can't have");
  early.send(socks5.ask(echo).subarray(3));
  assertEquals((await early.read(10))[1], denied);
  for (const wire of crowd) wire?.[Symbol.dispose]();
  await eventually(
    () => `descriptors of ${hopline.pid}`,
    () => readdirSync(`/proc/${hopline.pid}/fd`).length < most / 2 || undefined,
  );
  using late = await Wire.to(at);
  late.send(socks5.ask(echo));
  assertEquals(await socks5.answer(late), socks5.success);
});
