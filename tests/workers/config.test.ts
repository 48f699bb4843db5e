/**
 * A checked configuration is data: it crosses from the supervisor to its workers as it is.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { Channel } from "../../src/cli/workers/channel.ts";
import { type Config, configSchema } from "../../src/config/schema.ts";

const input = {
  listeners: [
    { address: "127.0.0.1:1080", users: [{ username: "alice", password: "secret" }] },
    { address: "127.0.0.1:443", sni: { port: 443, names: ["*.example.com"] } },
  ],
  hops: { near: "http://alice:secret@near.example:8080", far: "h2://far.example?sni=" },
  chains: {
    out: ["near", { failover: ["far", "socks5://spare.example"], check: { target: "example.com:443" } }],
  },
  routes: [
    { to: ["*.example.com:443", "10.0.0.0/8", "[2001:db8::1]:1-9", "*"], from: ["::/0"], via: "out" },
    { via: "direct", listeners: ["127.0.0.1:1080"] },
  ],
  access: { private: "deny", allow: ["10.0.0.1"] },
  names: { servers: ["127.0.0.1"], hosts: { "a.example": ["10.0.0.1"] } },
} as const;

interface Calls {
  take(config: Config): Config;
  fail(): void;
  first(): Promise<string>;
  second(): string;
}

/** Two ends of a channel; the second answers. */
function channels(calls: Calls): [Channel<Calls>, end: () => void] {
  const [up, down] = [new PassThrough(), new PassThrough()];
  new Channel<object>(up, down, calls);
  return [new Channel<Calls>(down, up, {}), () => down.end()];
}

const calls: Calls = {
  take: (config) => config,
  fail: () => {
    throw new Error("no such thing");
  },
  first: () => new Promise((resolve) => setTimeout(() => resolve("first"), 20)),
  second: () => "second",
};

test("a configuration with everything in it is the same on the other side", async () => {
  const config = await configSchema.parseAsync(input);
  const [channel] = channels(calls);
  const arrived = await channel.call("take", config);
  assertEquals(arrived, config);
  const [near] = arrived.chains.out;
  assert(near === arrived.hops.near, "what is one object stays one");
});

test("calls are answered as they are done, and say what went wrong", async () => {
  const [channel, end] = channels(calls);
  const order: string[] = [];
  const first = channel.call("first").then((name) => order.push(name));
  await channel.call("second").then((name) => order.push(name));
  await first;
  assertEquals(order, ["second", "first"]);
  assertEquals(await channel.call("fail").catch((error: Error) => error.message), "no such thing");
  const last = channel.call("first").catch((error: Error) => error.message);
  end();
  assertEquals(await last, "the process has ended");
  assertEquals(await channel.call("second").catch((error: Error) => error.message), "the process has ended");
});
