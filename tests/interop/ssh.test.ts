/**
 * ssh, and git over ssh, through every ProxyCommand that people use. The server's host key is checked, so a
 * session that works has reached the right place; 1 MiB goes to `cat` and comes back after the end of input.
 *
 * @module
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import { after, before, test } from "node:test";
import { command, configured, type Hopline, hopline } from "../support/hopline.ts";
import { blob, sha256 } from "../support/origins.ts";
import { must, run } from "../support/process.ts";
import { locate } from "../support/programs.ts";
import { clone, repository } from "../support/repository.ts";
import { sshOptions, type SshServer, sshServer } from "../support/ssh.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const alice = { username: "alice", password: "s3cret" };
const secret = `${alice.username}:${alice.password}`;
let server: SshServer;
let open: Hopline;
let users: Hopline;

before(async () => {
  server = stack.use(await sshServer());
  open = stack.use(await hopline(["-L", "127.0.0.1:0"]));
  users = stack.use(
    await hopline(configured(directory, { listeners: [{ address: "127.0.0.1:0", users: [alice] }] })),
  );
});
after(() => stack.disposeAsync());

/** The command of a row, for a listener at `host:port`. */
type ProxyCommand = (host: string, port: string) => string;

const rows: [name: string, protocol: string, withUser: boolean, proxyCommand: ProxyCommand][] = [
  ["ncat --proxy-type socks5", "socks5", false, (h, p) => ncat(`--proxy ${h}:${p} --proxy-type socks5`)],
  ["ncat --proxy-type socks4", "socks4", false, (h, p) => ncat(`--proxy ${h}:${p} --proxy-type socks4`)],
  ["ncat --proxy-type http", "http", false, (h, p) => ncat(`--proxy ${h}:${p} --proxy-type http`)],
  [
    "ncat --proxy-type socks5 with a user",
    "socks5",
    true,
    (h, p) => ncat(`--proxy ${h}:${p} --proxy-type socks5 --proxy-auth ${secret}`),
  ],
  [
    "ncat --proxy-type http with a user",
    "http",
    true,
    (h, p) => ncat(`--proxy ${h}:${p} --proxy-type http --proxy-auth ${secret}`),
  ],
  ["proxytunnel", "http", false, (h, p) => `${locate("proxytunnel")} -q -p ${h}:${p} -d %h:%p`],
  [
    "proxytunnel with a user",
    "http",
    true,
    (h, p) => `${locate("proxytunnel")} -q -p ${h}:${p} -P ${secret} -d %h:%p`,
  ],
  ["socat PROXY", "http", false, (h, p) => `${locate("socat")} - PROXY:${h}:%h:%p,proxyport=${p}`],
  [
    "socat PROXY with a user",
    "http",
    true,
    (h, p) => `${locate("socat")} - PROXY:${h}:%h:%p,proxyport=${p},proxyauth=${secret}`,
  ],
  ["socat SOCKS4A", "socks4", false, (h, p) => `${locate("socat")} - SOCKS4A:${h}:%h:%p,socksport=${p}`],
  ["hopline connect -F socks5", "socks5", false, (h, p) => connect(`-F socks5://${h}:${p}`)],
  ["hopline connect -F socks4a", "socks4", false, (h, p) => connect(`-F socks4a://${h}:${p}`)],
  ["hopline connect -F http with a user", "http", true, (h, p) => connect(`-F http://${secret}@${h}:${p}`)],
];

const ncat = (options: string) => `${locate("ncat")} ${options} %h %p`;
const connect = (options: string) => `${command.join(" ")} connect %h:%p ${options}`;

for (const [name, protocol, withUser, proxyCommand] of rows) {
  test(`ssh through ${name}`, async () => {
    const proxy = withUser ? users : open;
    const trail = proxy.trail();
    assertEquals(await echoed(proxyCommand(...split(proxy.address))), sha256(blob));
    const closed = await trail.find("tunnel.closed", { target: server.address, protocol });
    assertEquals(closed.user, withUser ? alice.username : undefined);
  });
}

test("ssh through hopline connect alone", async () => {
  assertEquals(await echoed(connect("")), sha256(blob));
});

test("ssh through hopline connect and two hops", async () => {
  const [first, last] = [open.trail(), users.trail()];
  const hops = `-F socks5://${open.address} -F socks5://${secret}@${users.address}`;
  assertEquals(await echoed(connect(hops)), sha256(blob));
  await first.find("tunnel.closed", { target: users.address });
  await last.find("tunnel.closed", { target: server.address });
});

test("ssh fails when hopline connect is refused, and says by whom", async () => {
  const refused = `ProxyCommand=${connect(`-F socks5://alice:wrong@${users.address}`)}`;
  const { code, stderr } = await run("ssh", [...sshOptions(server), "-o", refused, server.login, "true"]);
  assertNotEquals(code, 0);
  assertEquals(stderr.includes(`socks5 ${users.address}`) || stderr.includes(users.address), true, stderr);
  assertEquals(stderr.includes("wrong"), false, stderr);
});

test("git clones over ssh through hopline connect", async () => {
  const bare = await repository(directory);
  const trail = open.trail();
  const options = [...sshOptions(server), "-o", `ProxyCommand=${connect(`-F socks5://${open.address}`)}`];
  const ssh = [locate("ssh"), ...options].map((word) => `'${word}'`).join(" ");
  const url = `ssh://${server.login}:${server.port}${bare}`;
  assertEquals(await clone(directory, url, [`core.sshCommand=${ssh}`]), sha256(blob));
  await trail.find("tunnel.closed", { target: server.address, protocol: "socks5" });
});

/** Sends the blob through `ssh … cat` and answers the hash of what came back. */
async function echoed(proxyCommand: string): Promise<string> {
  const args = [...sshOptions(server), "-o", `ProxyCommand=${proxyCommand}`, server.login, "cat"];
  const { stdout } = await must("ssh", args, { input: blob });
  return sha256(stdout);
}

function split(address: string): [host: string, port: string] {
  const at = address.lastIndexOf(":");
  return [address.slice(0, at), address.slice(at + 1)];
}
