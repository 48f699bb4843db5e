/**
 * A server in a program: what the configuration file can say, in code, with a dialer and a log of its own.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  chain,
  ConfigError,
  type ConfigInput,
  defineConfig,
  type Dialer,
  direct,
  http,
  ListenError,
  type Log,
  serve,
  socks5,
} from "@hopline/hopline";
import { test } from "node:test";
import { rejectionOf } from "../support/errors.ts";
import { echoOrigin } from "../support/origins.ts";
import { eventually } from "../support/process.ts";
import { readExactly, writeText } from "../support/traffic.ts";

const quiet = { level: "error" } as const;

test("serve() binds its listeners and tells their addresses in order", async () => {
  await using server = await serve({ listeners: ["127.0.0.1:0", { address: "[::1]:0" }], log: quiet });
  assertEquals(server.addresses.map(({ hostname }) => hostname), ["127.0.0.1", "::1"]);
  for (const { port } of server.addresses) assertEquals(port > 0, true);
});

test("a server that is left is closed", async () => {
  const left = async () => {
    await using server = await serve({ listeners: ["127.0.0.1:0"], log: quiet });
    return server.addresses[0];
  };
  const address = await left();
  await assertRejects(() => direct().dial(address));
});

test("serve() offers a dialer on a port, instead of the configured chain", async () => {
  await using echo = await echoOrigin();
  const asked: string[] = [];
  const dialer: Dialer = {
    dial(target, ctx) {
      asked.push(target.hostname);
      return direct().dial(echo, ctx);
    },
  };
  const config = { listeners: ["127.0.0.1:0"], chains: { out: ["socks5://127.0.0.1:1"] }, log: quiet };
  await using server = await serve(config, { dialer });
  for (const hop of [http(server.addresses[0]), socks5(server.addresses[0])]) {
    const conn = await chain([hop]).dial({ hostname: "anything.test", port: 443 });
    await writeText(conn, "hello");
    assertEquals(await readExactly(conn, 5), "hello");
    conn.close();
  }
  assertEquals(asked, ["anything.test", "anything.test"]);
});

test("serve() gives its events to a log, whatever the level", async () => {
  const events: string[] = [];
  const log: Log = (level, event) => void events.push(`${level} ${event}`);
  await using server = await serve({ listeners: ["127.0.0.1:0"], log: quiet }, { log });
  assertEquals(events, ["info listener.ready"]);
  const conn = await direct().dial(server.addresses[0]);
  conn.close();
  await eventually("the client's end", () => events.includes("debug tunnel.failed") || undefined);
});

test("defineConfig() gives types and changes nothing", async () => {
  const input: ConfigInput = { listeners: ["127.0.0.1:0"], log: quiet };
  const config = defineConfig(input);
  assertEquals(config, input);
  await using server = await serve(config);
  assertEquals(server.addresses.length, 1);
});

async function configError(config: ConfigInput): Promise<ConfigError> {
  const error = await rejectionOf(serve(config));
  if (error instanceof ConfigError) return error;
  throw error;
}

test("a configuration that is wrong is a ConfigError with every problem, and nothing is bound", async () => {
  const config = {
    listeners: ["127.0.0.1:0", "0.0.0.0:0"],
    hops: { office: "http://alice:s3cret@:80" },
    chains: { out: ["ofice"] },
  };
  const error = await configError(config);
  assertEquals(
    error.problems.map(({ path }) => path).sort(),
    [
      "chains.out[0]",
      "hops.office",
      "listeners[1]",
    ].sort(),
  );
  assertEquals(error.message.split("\n").length, 3);
  assertEquals(error.message.includes("s3cret"), false);
  const { message } = await configError({ listenrs: [] } as unknown as ConfigInput);
  assertMatch(message, /did you mean `listeners`\?/);
});

test("a configuration in code is taken as it is: no variable is put in", async () => {
  const { problems } = await configError({ listeners: ["127.0.0.1:${PORT:-0}"] });
  assertEquals(problems.length, 1);
});

test("a port that is taken is a ListenError that names it", async () => {
  await using first = await serve({ listeners: ["127.0.0.1:0"], log: quiet });
  const address = `127.0.0.1:${first.addresses[0].port}`;
  const message = `can't listen on ${address}: `;
  await assertRejects(() => serve({ listeners: [address], log: quiet }), ListenError, message);
});
