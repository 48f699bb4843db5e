/**
 * The peers by themselves, with curl and without Hopline: when one of these fails, the machine is at fault and
 * no other result in this folder means anything.
 *
 * @module
 */
import { assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { root } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { danted, microsocks, ncatProxy, type Peer, squid, sshDynamic, tinyproxy } from "../support/peers.ts";
import { run } from "../support/process.ts";
import { packages } from "../support/programs.ts";
import { type SshServer, sshServer } from "../support/ssh.ts";
import { stunnel } from "../support/stunnel.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const alice = { username: "alice", password: "se:cret" };
const user = `${alice.username}:${alice.password}`;
const stack = new AsyncDisposableStack();
let web: WebOrigin;
let ssh: SshServer;
before(async () => {
  web = stack.use(await webOrigin());
  ssh = stack.use(await sshServer());
});
after(() => stack.disposeAsync());

const rows: [name: string, open: () => Promise<Peer>, args: (address: string) => string[]][] = [
  ["danted, SOCKS5", danted, (at) => ["--socks5-hostname", at]],
  ["danted, SOCKS4", danted, (at) => ["--socks4", at]],
  ["microsocks", microsocks, (at) => ["--socks5-hostname", at]],
  [
    "microsocks with a password",
    () => microsocks(alice),
    (at) => ["--socks5-hostname", at, "--proxy-user", user],
  ],
  ["ssh -D, SOCKS5", () => sshDynamic(ssh), (at) => ["--socks5-hostname", at]],
  ["ssh -D, SOCKS4a", () => sshDynamic(ssh), (at) => ["--socks4a", at]],
  ["squid", () => squid({ ports: [web.port] }), (at) => ["-p", "-x", `http://${at}`]],
  [
    "squid with a password",
    () => squid({ ports: [web.port], credentials: alice }),
    (at) => ["-p", "-x", `http://${at}`, "--proxy-user", user],
  ],
  ["tinyproxy", tinyproxy, (at) => ["-p", "-x", `http://${at}`]],
  [
    "tinyproxy with a password",
    () => tinyproxy({ ...alice, password: "secret" }),
    (at) => ["-p", "-x", `http://${at}`, "--proxy-user", "alice:secret"],
  ],
  ["ncat", ncatProxy, (at) => ["-p", "-x", `http://${at}`]],
  [
    "ncat with a password",
    () => ncatProxy(alice),
    (at) => ["-p", "-x", `http://${at}`, "--proxy-user", user],
  ],
];

for (const [name, open, args] of rows) {
  test(`curl goes through ${name}`, async () => {
    await using peer = await open();
    const { code, stdout, stderr } = await run("curl", ["-sS", ...args(peer.address), `${web.url}/blob`]);
    assertEquals(code, 0, stderr);
    assertEquals(sha256(stdout), sha256(blob));
    await peer.saw(web);
  });
}

test("a wrong password is refused by every peer that asks for one", async () => {
  const openers: [open: () => Promise<Peer>, args: string[], code: number][] = [
    [() => microsocks(alice), ["--socks5-hostname"], 97],
    [() => squid({ ports: [web.port], credentials: alice }), ["-p", "-x"], 56],
    [() => tinyproxy({ ...alice, password: "secret" }), ["-p", "-x"], 56],
    [() => ncatProxy(alice), ["-p", "-x"], 56],
  ];
  for (const [open, args, expected] of openers) {
    await using peer = await open();
    const wrong = ["--proxy-user", "alice:wrong", ...args, peer.address];
    const { code, stderr } = await run("curl", ["-sS", ...wrong, `${web.url}/blob`]);
    assertEquals(code, expected, `${peer.name}: ${stderr}`);
  }
});

test("squid refuses every port but the permitted ones", async () => {
  await using office = await squid({ ports: [443] });
  const { code, stderr } = await run("curl", [
    "-sS",
    "-p",
    "-x",
    `http://${office.address}`,
    `${web.url}/blob`,
  ]);
  assertEquals(code, 56);
  assertStringIncludes(stderr, "response 403");
});

test("stunnel carries TLS, and asks for a client certificate where it is told to", async () => {
  using directory = temporaryDirectory();
  const ca = await authority(directory, "ca");
  const certificate = await ca.issue("127.0.0.1", "relay.test");
  const guest = await ca.issue("guest");
  await using open = await stunnel({ to: web.address, certificate });
  await using closed = await stunnel({ to: web.address, certificate, clientCa: ca.file });
  const get = (at: string, ...more: string[]) =>
    run("curl", ["-sS", "--cacert", ca.file, ...more, `https://${at}/blob`]);
  assertEquals(sha256((await get(open.address)).stdout), sha256(blob));
  assertEquals(
    sha256((await get(closed.address, "--cert", guest.cert, "--key", guest.key)).stdout),
    sha256(blob),
  );
  assertNotEquals((await get(closed.address)).code, 0);
});

test("packages.txt names the package of every program that the tests use", () => {
  const listed = readFileSync(join(root, "tests/support/packages.txt"), "utf8").trim().split("\n");
  assertEquals(listed, [...new Set(Object.values(packages))].sort());
});
