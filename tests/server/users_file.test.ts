/**
 * Users in a file with hashes: the same gate for every protocol, and a bounded piece of work.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { scryptSync } from "node:crypto";
import { after, test } from "node:test";
import { ConfigError } from "../../src/config/problems.ts";
import { validateConfig } from "../../src/config/load.ts";
import { makeGate } from "../../src/gate.ts";
import {
  formatHash,
  hashPassword,
  parseHash,
  type PasswordHash,
  verifyPassword,
} from "../../src/passwords.ts";
import { fromUtf8, toHex } from "../support/bytes.ts";
import { fetchThrough } from "../support/fetch.ts";
import { echoOrigin, webOrigin } from "../support/origins.ts";
import { run } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { hoplineCommand } from "../support/hopline.ts";
import { endpoint, program } from "../cli/program.ts";
import { http, httpAnswer, socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const directory = temporaryDirectory();
after(() => directory[Symbol.dispose]());

/** What passlib's documentation makes of `password`. */
const passlib = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";

/** As cheap as it gets. */
const cheap = (password: string): PasswordHash => {
  const salt = new Uint8Array(16);
  return { ln: 1, r: 1, p: 1, salt, hash: scryptSync(password, salt, 32, { N: 2, r: 1, p: 1 }) };
};

test("a hash of another program's fits its password and no other", async () => {
  const hash = parseHash(passlib)!;
  assertEquals(await verifyPassword("password", hash), true);
  assertEquals(await verifyPassword("Password", hash), false);
  assertEquals(formatHash(hash), passlib);
});

test("every hash has a salt of its own, and survives being written", async () => {
  const [one, other] = [await hashPassword("pässword"), await hashPassword("pässword")];
  assert(formatHash(one) !== formatHash(other));
  assertMatch(formatHash(one), /^\$scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assertEquals(await verifyPassword("pässword", parseHash(formatHash(one))!), true);
});

test("what is no hash, or costs out of all reason, is none", () => {
  const texts = [
    "",
    "password",
    passlib.slice(0, -30),
    passlib.replace("scrypt", "argon2id"),
    passlib.replace("ln=16", "ln=19"),
    passlib.replace("r=8", "r=99"),
    passlib.replace("p=1", "p=17"),
    passlib.replace("ln=16", "ln=0"),
    `${passlib} `,
    `${passlib}=`,
  ];
  assertEquals(texts.filter((text) => parseHash(text) !== undefined), []);
});

test("a password that fitted is known without the work; a wrong one never is", async () => {
  const gate = makeGate([{ username: "alice", hash: cheap("right") }])!;
  const first = gate("alice", "right");
  assert(first instanceof Promise);
  assertStrictEquals(gate("alice", "right"), first, "the same on another connection is the same work");
  assertEquals(await first, true);
  assertEquals(gate("alice", "right"), true);
  for (const [name, password] of [["alice", "wrong"], ["mallory", "right"], ["", ""], ["alice", ""]]) {
    for (let n = 0; n < 2; n++) {
      const answer = gate(name, password);
      assert(answer instanceof Promise, "an unknown user takes the same work");
      assertEquals(await answer, false);
    }
  }
  assertEquals(gate("alice", "right"), true);
});

test("an unknown user takes the work of one whose password is wrong", async () => {
  // Work that cannot be done shows who takes it.
  const gate = makeGate([{ username: "alice", hash: { ...cheap("right"), ln: 40 } }])!;
  for (const name of ["alice", "mallory"]) {
    await assertRejects(
      async () => await gate(name, "wrong"),
      Error,
      'The value of "N" is out of range',
      name,
    );
  }
});

test("a flood of guesses is turned away, and who is known gets in meanwhile", async () => {
  const gate = makeGate([{ username: "alice", hash: cheap("right") }])!;
  await gate("alice", "right");
  const other = makeGate([{ username: "bob", hash: cheap("b") }])!;
  const guesses = Array.from({ length: 500 }, (_, n) => gate("alice", `guess ${n}`));
  const behind = other("bob", "b");
  assertEquals(gate("alice", "right"), true);
  assertEquals(await behind, false, "the line is full, for every listener");
  assertEquals((await Promise.all(guesses)).some((passed) => passed), false);
  assertEquals(await other("bob", "b"), true);
});

const line = async (user: string, password: string) => {
  const { code, stdout, stderr } = await hoplineCommand(["passwd", user], { input: `${password}\n` });
  assertEquals([code, stderr], [0, ""]);
  return String(stdout);
};

test("users of a file get through by SOCKS5 and by HTTP, and nobody else does", async () => {
  const file = directory.write("users.txt", `# who may\n\n${await line("alice", "correct: horse")}`);
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", users: { file } }] });
  await using echo = await echoOrigin();
  const alice = { username: "alice", password: "correct: horse" };
  for (const client of [socks5, http, socks5]) {
    using wire = await Wire.to(house.at);
    wire.send(client.ask(echo, alice), "early");
    assertEquals(await client.answer(wire), client.success);
    assertEquals(fromUtf8(await wire.read(5)), "early");
    wire.end();
  }
  for (const client of [socks5, http]) {
    for (const wrong of [{ ...alice, password: "wrong" }, { ...alice, username: "mallory" }]) {
      using wire = await Wire.to(house.at);
      wire.send(client.ask(echo, wrong));
      if (client === socks5) assertEquals(toHex(await wire.rest()), "05 02 01 01");
      else assertEquals((await httpAnswer(wire)).status, 407);
    }
  }
  assertEquals(house.events.filter(({ event }) => event === "tunnel.closed").length, 3);
});

test("a plain request of HTTP passes the same gate", async () => {
  await using origin = await webOrigin();
  const users = [{ username: "alice", hash: cheap("right") }];
  const file = directory.write(
    "plain.txt",
    users.map(({ username, hash }) => `${username}:${formatHash(hash)}\n`).join(""),
  );
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", users: { file } }] });
  const { port } = house.at;
  for (const [password, status] of [["right", "200"], ["wrong", "407"], ["right", "200"]]) {
    const args = [
      "-sS",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "-x",
      `http://alice:${password}@127.0.0.1:${port}`,
    ];
    assertEquals(String((await run("curl", [...args, `${origin.url}/headers`])).stdout), status);
  }
});

test("SIGHUP reads the file again: a new password works, the old one is forgotten", async () => {
  await using origin = await webOrigin();
  const file = directory.write("changing.txt", await line("alice", "old"));
  const users = JSON.stringify({ listeners: [{ address: "127.0.0.1:0", users: { file } }] });
  await using running = program(["-c", directory.write("changing.json", users)]);
  const { hostname, port } = endpoint(await running.address());
  const fetched = async (password: string) =>
    (await fetchThrough("socks5", `alice:${password}@${hostname}:${port}`, origin.url)).code;
  assertEquals([await fetched("old"), await fetched("old"), await fetched("new")], [0, 0, 97]);
  directory.write("changing.txt", await line("alice", "new"));
  running.signal("SIGHUP");
  await running.said(/config\.reloaded/);
  assertEquals([await fetched("old"), await fetched("new")], [97, 0]);
});

test("what is wrong with a file is told by its line, and nothing of it is quoted", async () => {
  const hash = formatHash(cheap("x"));
  const file = directory.write(
    "wrong.txt",
    `alice:${hash}\nalice:${hash}\nbob:hunter2\n:${hash}\nhunter3\ncarol:${hash}=\r\ndave:${hash}\r\n`,
  );
  const problems = async (users: { file: string }) => {
    try {
      await validateConfig({ listeners: [{ address: "127.0.0.1:1", users }] });
    } catch (error) {
      if (error instanceof ConfigError) {
        return error.problems.map(({ path, message }) => `${path}: ${message}`);
      }
    }
    return [];
  };
  const name = JSON.stringify(file);
  const at = (n: number) => `listeners[0].users.file: line ${n} of ${name}:`;
  const form = "expected name:$scrypt$ln=…,r=…,p=…$salt$hash, as hopline passwd prints it";
  assertEquals(await problems({ file }), [
    `${at(2)} this user is listed twice`,
    `${at(3)} ${form}`,
    `${at(4)} expected name:HASH, with a name of 1 to 255 bytes`,
    `${at(5)} expected name:HASH, with a name of 1 to 255 bytes`,
    `${at(6)} ${form}`,
  ]);
  const empty = directory.write("empty.txt", "# nobody\n");
  assertEquals(await problems({ file: empty }), [
    `listeners[0].users.file: the file ${JSON.stringify(empty)} lists no user`,
  ]);
});
