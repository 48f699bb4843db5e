/**
 * `hopline connect`: standard input and output joined to a target, as ssh's ProxyCommand and git use it.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import process from "node:process";
import type { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { command, configured, hoplineCommand } from "../support/hopline.ts";
import { afterEndOrigin, type Origin, sha256 } from "../support/origins.ts";
import { run } from "../support/process.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { rest } from "../support/traffic.ts";
import { type Serving, serving } from "../server/serving.ts";
import { scripted } from "../server/wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
/** Answers only after the end of its input: no half-close, no answer. */
let origin: Origin;
let hop: Serving;
/** Another server: a hop that leads back to itself would be a loop. */
let guarded: Serving;
const alice = { username: "alice", password: "s3cret" };
before(async () => {
  origin = stack.use(await afterEndOrigin());
  hop = stack.use(await serving());
  guarded = stack.use(await serving({ listeners: [{ address: "127.0.0.1:0", users: [alice] }] }));
});
after(() => stack.disposeAsync());

const connect = (args: readonly string[], input?: string | Uint8Array) =>
  hoplineCommand(["connect", ...args], { input });

test("what comes after the end of our input still arrives", async () => {
  const { code, stdout, stderr } = await connect([origin.address], "hello");
  assertEquals([code, String(stdout), stderr], [0, "hello", ""]);
});

test("4 MiB of any bytes arrive unharmed in both directions, directly and through a chain", async () => {
  const bytes = randomBytes(4 << 20);
  for (const chain of [[], ["-F", `socks5://127.0.0.1:${hop.at.port}`, "-F", secured()]]) {
    const { code, stdout, stderr } = await connect([origin.address, ...chain], bytes);
    assertEquals([code, stdout.length, sha256(stdout), stderr], [0, bytes.length, sha256(bytes), ""]);
  }
});

test("an input that is a socket ends as well, whatever it brings at once", async () => {
  const { cert: certificate, key } = await (await authority(directory, "ca")).issue("127.0.0.1");
  await using tls = await serving({ listeners: [{ address: "127.0.0.1:0", tls: { certificate, key } }] });
  const chain = ["-F", `socks5+tls://127.0.0.1:${tls.at.port}?insecure=true`];
  const script = directory.write("connect.sh", `exec ${line(["connect", origin.address, ...chain])}\n`);
  const bytes = randomBytes(600_000);
  const input = directory.write("input", bytes);
  // It gives its program one end of a pair of sockets, and fills them as fast as they are emptied.
  const socat = ["-b", "1000000", "-t", "30", `OPEN:${input},rdonly!!STDOUT`, `EXEC:sh ${script}`];
  const all = await Promise.all(Array.from({ length: 4 }, () => run("socat", socat)));
  const outcomes = all.map(({ code, stdout, stderr }) => [code, sha256(stdout), stderr]);
  assertEquals(outcomes, all.map(() => [0, sha256(bytes), ""]));
});

const secured = () => `http://alice:s3cret@127.0.0.1:${guarded.at.port}`;

test("the chain of a file is taken, and listeners of that file are not opened", async () => {
  const file = configured(directory, { listeners: [origin.address], chains: { out: [secured()] } });
  const { code, stdout, stderr } = await connect([origin.address, ...file], "by file");
  assertEquals([code, String(stdout), stderr], [0, "by file", ""]);
  const { fields } = await guarded.logged("tunnel.closed");
  assertEquals([fields.user, fields.target], ["alice", origin.address]);
});

test("it ends when the target has said all, though its own input is open", async () => {
  await using server = await scripted((wire) => {
    wire.send("220 bye\r\n");
    wire.end();
  });
  assertEquals(await interactive(server.address), { code: 0, stdout: "220 bye\r\n" });
});

test("it ends when whoever reads its output has left", async () => {
  await using server = await scripted(async (wire) => {
    for (; wire.alive; await rest(5)) wire.send("y".repeat(10_000));
  });
  const { code } = await interactive(server.address, (stdout) => stdout.destroy());
  assertEquals(code, 0);
  for (const wire of server.accepted) await wire.ending();
});

/** Hopline with these arguments, for a shell. */
const line = (args: readonly string[]) => [...command, ...args].map((word) => `'${word}'`).join(" ");

/** Runs it with an input that nobody ends, until it ends by itself; `heard` is called with its first output. */
async function interactive(target: string, heard: (stdout: Readable) => void = () => {}) {
  const { PATH, HOME, DENO_DIR } = process.env;
  const [runtime, ...before] = command;
  const child = spawn(runtime, [...before, "connect", target], { env: { PATH, HOME, DENO_DIR } });
  try {
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stdout.once("data", () => heard(child.stdout));
    const alarm = setTimeout(() => child.kill("SIGKILL"), 20_000);
    const code = await new Promise((resolve) => child.once("close", resolve));
    clearTimeout(alarm);
    return { code, stdout: Buffer.concat(chunks).toString() };
  } finally {
    child.kill("SIGKILL");
  }
}

test("an input that was never open is an input that has ended", async () => {
  await using server = await scripted(async (wire) => {
    await wire.rest();
    wire.send("you said nothing");
    wire.end();
  });
  const { code, stdout, stderr } = await run("/bin/sh", [
    "-c",
    `exec ${line(["connect", server.address])} <&-`,
  ]);
  assertEquals([code, String(stdout), stderr], [0, "you said nothing", ""]);
});

const failures: [what: string, args: () => Promise<string[]> | string[], says: RegExp][] = [
  [
    "a closed port",
    async () => [`127.0.0.1:${await freePort()}`],
    /^hopline: hop 0, direct, connect: connection refused: 127\.0\.0\.1:\d+\n$/,
  ],
  ["an unknown name", () => ["name.invalid:22"], /^hopline: hop 0, direct, resolve: .*name\.invalid\n$/],
  [
    "a hop that is not there",
    async () => [origin.address, "-F", `socks5://127.0.0.1:${await freePort()}`],
    /^hopline: hop 1, socks5:\/\/127\.0\.0\.1:\d+, connect: connection refused/,
  ],
  [
    "a wrong password at the second hop",
    () => [
      origin.address,
      "-F",
      `socks5://127.0.0.1:${hop.at.port}`,
      "-F",
      secured().replace("s3cret", "h4nter2"),
    ],
    /^hopline: hop 2, http:\/\/127\.0\.0\.1:\d+, auth: .*407/,
  ],
  [
    "a closed port behind a hop",
    async () => [`127.0.0.1:${await freePort()}`, "-F", secured()],
    /^hopline: hop 1, http:\/\/127\.0\.0\.1:\d+, request: .*502/,
  ],
];

for (const [what, args, says] of failures) {
  test(`${what} is exit status 1 and one line that names the hop and the stage`, async () => {
    const { code, stdout, stderr } = await connect(await args(), "early");
    assertEquals([code, String(stdout)], [1, ""]);
    assertMatch(stderr, says);
    assertMatch(stderr, /^[^\n]+\n$/);
    assertEquals(stderr.includes("s3cret") || stderr.includes("h4nter2"), false, stderr);
  });
}
