/**
 * curl in every dialect of proxy it speaks, against one listener of Hopline each: what arrives is compared byte
 * for byte, and the log has to say by which protocol it came.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { atLeast, configured, type Hopline, hopline } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { must, run } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const alice = { username: "alice", password: "se:cr%t" };

/** The listeners that the rows below choose from. */
type Kind = "open" | "users" | "optional" | "required" | "mutual" | "second";
let served: Record<Kind, Hopline>;
let web: WebOrigin;
let secure: WebOrigin;
let six: WebOrigin;
let trust: string[];
let guest: string[];

before(async () => {
  const ca = await authority(directory, "ca");
  const server = await ca.issue("localhost", "127.0.0.1");
  const client = await ca.issue("guest");
  trust = ["--cacert", ca.file, "--proxy-cacert", ca.file];
  guest = ["--proxy-cert", client.cert, "--proxy-key", client.key];
  web = stack.use(await webOrigin());
  secure = stack.use(await webOrigin({ tls: server }));
  six = stack.use(await webOrigin({ hostname: "::1" }));
  const files = `cert=${server.cert}&key=${server.key}`;
  const users = configured(directory, { listeners: [{ address: "127.0.0.1:0", users: [alice] }] });
  const start = async (args: string[]) => stack.use(await hopline(args));
  served = {
    open: await start(["-L", "127.0.0.1:0"]),
    users: await start(users),
    optional: await start(["-L", `auto://127.0.0.1:0?${files}`]),
    required: await start(["-L", `http+tls://127.0.0.1:0?${files}`]),
    mutual: await start(["-L", `http+tls://127.0.0.1:0?${files}&client-ca=${ca.file}`]),
    second: await start(["-L", "http://127.0.0.1:0"]),
  };
});
after(() => stack.disposeAsync());

interface Row {
  readonly listener?: Kind;
  readonly args: (at: string) => string[];
  readonly protocol: string;
  readonly user?: string;
  /** Where to; the plain HTTP origin if it isn't given. */
  readonly to?: () => WebOrigin;
}

const user = ["--proxy-user", `${alice.username}:${alice.password}`];
const tunnel = (at: string) => ["-p", "-x", `http://${at}`];
const overTls = (at: string) => ["-p", "-x", `https://${at}`, ...trust];

const rows: Record<string, Row> = {
  "--socks4": { args: (at) => ["--socks4", at], protocol: "socks4" },
  "--socks4a": { args: (at) => ["--socks4a", at], protocol: "socks4" },
  "--socks5": { args: (at) => ["--socks5", at], protocol: "socks5" },
  "--socks5-hostname": { args: (at) => ["--socks5-hostname", at], protocol: "socks5" },
  "--socks5-hostname to an IPv6 address": {
    args: (at) => ["--socks5-hostname", at],
    protocol: "socks5",
    to: () => six,
  },
  "-x http to an IPv6 address": { args: tunnel, protocol: "http", to: () => six },
  "--socks5 with a user": {
    listener: "users",
    args: (at) => ["--socks5", at, ...user],
    protocol: "socks5",
    user: "alice",
  },
  "-x http -p": { args: tunnel, protocol: "http" },
  "-x http to https": {
    args: (at) => ["-x", `http://${at}`, ...trust],
    protocol: "http",
    to: () => secure,
  },
  "-x http with a user": {
    listener: "users",
    args: (at) => [...tunnel(at), ...user],
    protocol: "http",
    user: "alice",
  },
  "--proxy-anyauth": {
    listener: "users",
    args: (at) => [...tunnel(at), "--proxy-anyauth", ...user],
    protocol: "http",
    user: "alice",
  },
  "--proxy1.0": { args: (at) => ["-p", "--proxy1.0", at], protocol: "http" },
  "-x https, TLS optional": { listener: "optional", args: overTls, protocol: "http" },
  "-x http, TLS optional": { listener: "optional", args: tunnel, protocol: "http" },
  "--socks5, TLS optional": { listener: "optional", args: (at) => ["--socks5", at], protocol: "socks5" },
  "-x https, TLS required": { listener: "required", args: overTls, protocol: "http" },
  "-x https to https, TLS in TLS": {
    listener: "required",
    args: (at) => ["-x", `https://${at}`, ...trust],
    protocol: "http",
    to: () => secure,
  },
  "-x https with a client certificate": {
    listener: "mutual",
    args: (at) => [...overTls(at), ...guest],
    protocol: "http",
  },
};

for (const [name, { listener = "open", args, protocol, user, to = () => web }] of Object.entries(rows)) {
  test(`curl ${name}`, async () => {
    const proxy = served[listener];
    const trail = proxy.trail();
    const { stdout } = await must("curl", ["-sS", ...args(proxy.address), `${to().url}/blob`]);
    assertEquals(sha256(stdout), sha256(blob));
    const where = { target: to().address, bytesDown: atLeast(blob.length) };
    const closed = await trail.find("tunnel.closed", where);
    assertEquals([closed.protocol, closed.user, closed.listener], [protocol, user, proxy.address]);
  });
}

test("curl --socks5-hostname and -x http leave the name to Hopline", async () => {
  const trail = served.open.trail();
  for (const args of [["--socks5-hostname"], ["--socks4a"], ["-p", "-x"]]) {
    const url = `http://localhost:${web.port}/blob`;
    const { stdout } = await must("curl", ["-sS", ...args, served.open.address, url]);
    assertEquals(sha256(stdout), sha256(blob));
    await trail.find("tunnel.closed", {
      target: `localhost:${web.port}`,
      protocol: args[0] === "--socks4a" ? "socks4" : args[0] === "-p" ? "http" : "socks5",
    });
  }
});

test("curl --preproxy goes through two listeners in a row", async () => {
  const [first, second] = [served.open, served.second];
  const trails = [first.trail(), second.trail()];
  const both = ["-p", "--preproxy", `socks5h://${first.address}`, "-x", `http://${second.address}`];
  const { stdout } = await must("curl", ["-sS", ...both, `${web.url}/blob`]);
  assertEquals(sha256(stdout), sha256(blob));
  assertEquals((await trails[0].find("tunnel.closed", { target: second.address })).protocol, "socks5");
  assertEquals((await trails[1].find("tunnel.closed", { target: web.address })).protocol, "http");
});

test("16 MiB go up and come back unharmed, plain and inside TLS", async () => {
  const body = randomBytes(16 << 20);
  const file = directory.write("body", body);
  const ways: [Kind, string[]][] = [
    ["open", ["--socks5", served.open.address]],
    ["open", tunnel(served.open.address)],
    ["required", overTls(served.required.address)],
  ];
  for (const [listener, way] of ways) {
    const trail = served[listener].trail();
    const args = ["-sS", ...way, "-H", "Expect:", "--data-binary", `@${file}`, `${web.url}/mirror`];
    const { stdout } = await must("curl", args, { timeout: 50_000 });
    assertEquals(sha256(stdout), sha256(body));
    const bytes = atLeast(body.length);
    await trail.find("tunnel.closed", { target: web.address, bytesUp: bytes, bytesDown: bytes });
  }
});

test("a tunnel hides nothing in the request: the origin sees no proxy header", async () => {
  const { stdout } = await must("curl", [
    "-sS",
    ...tunnel(served.users.address),
    ...user,
    `${web.url}/headers`,
  ]);
  const names = Object.keys(JSON.parse(String(stdout)));
  assertEquals(names.filter((name) => name.startsWith("proxy-") || name === "via"), []);
});

test("without its certificate curl does not pass a listener that asks for one", async () => {
  const { code, stdout } = await run("curl", ["-sS", ...overTls(served.mutual.address), `${web.url}/blob`]);
  // 35 or 56: TLS 1.3 lets the client believe in the handshake until its first read.
  assertEquals([35, 56].includes(code!), true, String(code));
  assertEquals(stdout.length, 0);
});

test("a listener that requires TLS takes no plain request", async () => {
  const { code } = await run("curl", [
    "-sS",
    "-m",
    "20",
    ...tunnel(served.required.address),
    `${web.url}/blob`,
  ]);
  assertEquals([52, 56].includes(code!), true, String(code));
});

test("curl hears of a wrong password in the words of each protocol", async () => {
  const wrong = ["--proxy-user", "alice:wrong"];
  const trail = served.users.trail();
  const get = (...args: string[]) => run("curl", ["-sS", ...args, `${web.url}/blob`]);
  const at = served.users.address;

  const socks = await get("--socks5", at, ...wrong);
  assertEquals(socks.code, 97, socks.stderr);
  assertStringIncludes(socks.stderr, "rejected by the SOCKS5 server (1 1)");
  const unnamed = await get("--socks5", at);
  assertEquals(unnamed.code, 97, unnamed.stderr);
  const four = await get("--socks4", at);
  assertEquals(four.code, 97, four.stderr);
  assertStringIncludes(four.stderr, "(93)");
  for (const args of [wrong, [], ["--proxy-anyauth", ...wrong]]) {
    const http = await get(...tunnel(at), "-D", "-", ...args);
    assertEquals(http.code, 56, http.stderr);
    assertStringIncludes(http.stderr, "407");
    assertStringIncludes(String(http.stdout).toLowerCase(), "proxy-authenticate: basic");
  }
  await trail.find("tunnel.failed");
  assertEquals(served.users.output().includes(alice.password), false);
});
