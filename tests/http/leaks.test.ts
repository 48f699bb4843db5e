/**
 * Nothing is left behind by requests: no descriptor, however they ended.
 *
 * @module
 */
import { assertMatch } from "@std/assert";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { eventually } from "../support/process.ts";
import { proxy } from "./proxying.ts";
import { ok, origin, server } from "./talk.ts";

const descriptors = () => readdirSync("/proc/self/fd").length;

test("200 mixed exchanges leave no descriptor behind", async () => {
  await using web = await origin();
  await using other = await origin(() => ok("ok", "Connection: close\r\n"));
  await using liar = await server(async (talk) => {
    await talk.message();
    talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    talk.socket.end();
  });
  await using hopline = await proxy();
  const get = (at: string) => `GET http://${at}/ HTTP/1.1\r\nHost: x\r\n\r\n`;
  const round = async () => {
    using kept = await hopline.client();
    for (const at of [web.at, other.at, web.at, "127.0.0.1:1"]) {
      kept.send(get(at));
      assertMatch((await kept.message()).first, / (200|502) /);
    }
    using cut = await hopline.client();
    cut.send(get(liar.at));
    await cut.ending();
    using left = await hopline.client();
    left.send(`POST http://${web.at}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc`);
    left.socket.resetAndDestroy();
  };
  const rounds = async (n: number) => {
    for (let at = 0; at < n; at += 5) await Promise.all(Array.from({ length: 5 }, round));
  };
  await rounds(5);
  // A client that resets at once may be gone before it is accepted: only the other five of each round are sure.
  await eventually(
    "the log of the first rounds",
    () => hopline.entries.filter(({ event }) => event.startsWith("tunnel.")).length >= 25 || undefined,
  );
  await new Promise((resolve) => setTimeout(resolve, 1200));
  const before = descriptors();
  await rounds(35);
  await eventually(
    () => `${before} descriptors; there are ${descriptors()}`,
    () => descriptors() <= before + 3 || undefined,
  );
});
