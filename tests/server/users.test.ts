/**
 * One gate for all protocols: who has no right name and password gets no tunnel, in the words of each protocol.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, test } from "node:test";
import { fromUtf8, hex, toHex } from "../support/bytes.ts";
import { echoOrigin } from "../support/origins.ts";
import { type Credentials, http, httpAnswer, socks4, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { type Scripted, scripted, Wire } from "./wire.ts";

const alice = { username: "alice", password: "correct: horse" };
const bob = { username: "bøb", password: "p".repeat(255) };

const stack = new AsyncDisposableStack();
let house: Serving;
/** Nobody who is refused may reach it. */
let target: Scripted;
before(async () => {
  house = stack.use(await serving({ listeners: [{ address: "127.0.0.1:0", users: [alice, bob] }] }));
  target = stack.use(await scripted());
});
after(() => stack.disposeAsync());

test("users get through by SOCKS5 and by HTTP, and the log names them", async () => {
  await using echo = await echoOrigin();
  const encoded = { username: alice.username, password: alice.password };
  for (const [client, user] of [[socks5, alice], [socks5, bob], [http, encoded]] as const) {
    const closed = house.events.filter(({ event }) => event === "tunnel.closed").length;
    using wire = await Wire.to(house.at);
    wire.send(client.ask(echo, user), "early");
    assertEquals(await client.answer(wire), client.success);
    assertEquals(fromUtf8(await wire.read(5)), "early");
    wire.end();
    const { fields } = await house.logged("tunnel.closed", closed + 1);
    assertEquals([fields.user, fields.protocol], [user.username, client.protocol]);
  }
});

const wrong: [what: string, credentials: Credentials][] = [
  ["a wrong password", { ...alice, password: "wrong" }],
  ["an unknown user", { ...alice, username: "mallory" }],
  ["another user's password", { ...alice, password: bob.password }],
  ["an empty password", { ...alice, password: "" }],
  ["no name and no password", { username: "", password: "" }],
];

for (const [what, credentials] of wrong) {
  test(`${what} opens nothing, by SOCKS5 and by HTTP`, async () => {
    using five = await Wire.to(house.at);
    // Everything behind the failed authentication is discarded.
    five.send(socks5.ask(target, credentials), "early");
    assertEquals(toHex(await five.rest()), "05 02 01 01");
    using web = await Wire.to(house.at);
    web.send(http.ask(target, credentials), http.ask(target, alice));
    const { status, head } = await httpAnswer(web);
    assertEquals(status, 407);
    assertMatch(head, /^proxy-authenticate: Basic realm="[^"]+"/im);
    assertEquals((await web.rest()).length, 0);
    assertEquals(target.accepted.length, 0);
  });
}

test("a SOCKS5 client that offers no password is refused", async () => {
  for (const methods of ["00", "01", "00 01 03"]) {
    using wire = await Wire.to(house.at);
    wire.send(hex(`05 0${methods.split(" ").length} ${methods}`), socks5.ask(target));
    assertEquals(toHex(await wire.rest()), "05 ff");
  }
  assertEquals(target.accepted.length, 0);
});

test("a SOCKS4 client is refused: it has no password to offer", async () => {
  using wire = await Wire.to(house.at);
  wire.send(socks4.ask(target), "early");
  assertEquals(toHex(await wire.rest()), "00 5d 00 00 00 00 00 00");
  assertEquals(target.accepted.length, 0);
});

test("an HTTP client without credentials is challenged", async () => {
  for (const field of ["", "Proxy-Authorization: Bearer x\r\n", "Proxy-Authorization: Basic !!\r\n"]) {
    using wire = await Wire.to(house.at);
    wire.send(`CONNECT ${target.address} HTTP/1.1\r\nHost: x\r\n${field}\r\n`);
    assertEquals((await httpAnswer(wire)).status, 407);
  }
  assertEquals(target.accepted.length, 0);
});

test("failed logins are logged without the password, and what the name holds cannot forge a line", async () => {
  await using own = await serving({ listeners: [{ address: "127.0.0.1:0", users: [alice] }] });
  const username = "eve\r\n\x1b[2Jlevel=info";
  using five = await Wire.to(own.at);
  five.send(socks5.ask(target, { username, password: "hunter2" }));
  await five.ending();
  five.end();
  const { fields } = await own.logged("tunnel.failed");
  const { error } = fields;
  assertEquals([error.code, error.hop, error.label, error.stage], ["auth", 0, "client", "auth"]);
  assertMatch(error.message, /eve/);
  const whole = JSON.stringify(own.events);
  assertEquals(whole.includes("hunter2"), false);
  // deno-lint-ignore no-control-regex -- what must not be there
  assertEquals(/[\x00-\x1f\x7f]/.test(error.message), false);
});
