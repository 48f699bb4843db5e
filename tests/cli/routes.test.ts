/**
 * A file's routes and the flags beside them.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { configured, hopline, hoplineCommand } from "../support/hopline.ts";
import { afterEndOrigin, type Origin } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { socks5 } from "../server/clients.ts";
import { type Serving, serving } from "../server/serving.ts";
import { Wire } from "../server/wire.ts";
import { endpoint, program } from "./program.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let origin: Origin;
let hop: Serving;
before(async () => {
  origin = stack.use(await afterEndOrigin());
  hop = stack.use(await serving());
});
after(() => stack.disposeAsync());

const via = () => `socks5://127.0.0.1:${hop.at.port}`;

test("the listeners of -L take the chain of -F, those of the file its routes", async () => {
  const file = configured(directory, { listeners: ["127.0.0.1:0"], routes: [{ via: "reject" }] });
  await using house = await hopline([...file, "-L", "127.0.0.1:0", "-F", via()], 2);
  const trail = house.trail();
  const codes = await Promise.all(house.addresses.map(async (address) => {
    using wire = await Wire.to(endpoint(address));
    wire.send(socks5.ask(origin));
    return await socks5.answer(wire);
  }));
  assertEquals(codes, [2, 0]);
  const [failed, closed] = [await trail.find("tunnel.failed"), await trail.find("tunnel.closed")];
  assertEquals([failed.route, closed.route, closed.via.length], [1, undefined, 1]);
});

test("-F without -L says that no route would take it", async () => {
  const file = configured(directory, { listeners: ["127.0.0.1:0"], routes: [{ via: "direct" }] });
  const { code, stderr } = await hoplineCommand(["serve", ...file, "-F", via()]);
  assertEquals(code, 2);
  assertMatch(stderr, /no route .*"via": "cli".*-L/);
});

test("connect goes by the routes of a file, but by -F where it is given", async () => {
  const connect = async (...args: string[]) => {
    const { code, stdout, stderr } = await hoplineCommand(["connect", origin.address, ...args], {
      input: "hi",
    });
    return [code, String(stdout), stderr.includes("route 2 rejects this")];
  };
  const file = configured(directory, {
    routes: [{ users: ["alice"], via: "direct" }, { to: [origin.address], via: "reject" }, { via: "direct" }],
    listeners: [{ address: "127.0.0.1:0", users: [{ username: "alice", password: "x" }] }],
  });
  assertEquals(await connect(...file), [1, "", true]);
  assertEquals(await connect(...file, "-F", via()), [0, "hi", false]);
});

test("a rule list is read again when the configuration is reloaded; a bad one changes nothing", async () => {
  using directory = temporaryDirectory();
  directory.write("blocked.txt", "example.com\n");
  const file = configured(directory, {
    listeners: [`127.0.0.1:${await freePort()}`],
    routes: [{ to: [{ file: "blocked.txt" }], via: "reject" }, { via: "direct" }],
  });
  await using house = program(file);
  const address = endpoint(await house.address());
  const ask = async () => {
    using wire = await Wire.to(address);
    wire.send(socks5.ask(origin));
    return await socks5.answer(wire);
  };
  assertEquals(await ask(), 0);
  directory.write("blocked.txt", "127.0.0.0/8\n");
  house.signal("SIGHUP");
  await house.said(/config\.reloaded/);
  assertEquals(await ask(), 2);
  directory.write("blocked.txt", "127.0.0.0/8\n*x\n");
  house.signal("SIGHUP");
  await house.said(/config\.refused .*routes\[0\]\.to\[0\]\.file: blocked\.txt:2: /);
  assertEquals(await ask(), 2);
});
