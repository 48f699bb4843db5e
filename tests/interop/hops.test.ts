/**
 * Every real proxy server as the one hop of a chain: the payload arrives, the hop's own journal knows the target,
 * and a refusal keeps its meaning on the way back to the client.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, test } from "node:test";
import { type Dialect, fetchThrough } from "../support/fetch.ts";
import { atLeast, configured, hopline } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { danted, microsocks, ncatProxy, type Peer, squid, sshDynamic, tinyproxy } from "../support/peers.ts";
import { sshServer } from "../support/ssh.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const alice = { username: "alice", password: "s3cret" };
const hostile = { username: "a%b", password: "p@ss:w/o?r#d %41" };
let web: WebOrigin;
let peers: Record<
  | "danted"
  | "microsocks"
  | "microsocksUsers"
  | "microsocksHostile"
  | "ssh"
  | "squid"
  | "squidUsers"
  | "tinyproxy"
  | "tinyproxyUsers"
  | "ncat"
  | "ncatUsers",
  Peer
>;

before(async () => {
  web = stack.use(await webOrigin());
  const server = stack.use(await sshServer());
  const permitted = { ports: [web.port] };
  peers = {
    danted: stack.use(await danted()),
    microsocks: stack.use(await microsocks()),
    microsocksUsers: stack.use(await microsocks(alice)),
    microsocksHostile: stack.use(await microsocks(hostile)),
    ssh: stack.use(await sshDynamic(server)),
    squid: stack.use(await squid(permitted)),
    squidUsers: stack.use(await squid({ ...permitted, credentials: alice })),
    tinyproxy: stack.use(await tinyproxy()),
    tinyproxyUsers: stack.use(await tinyproxy(alice)),
    ncat: stack.use(await ncatProxy()),
    ncatUsers: stack.use(await ncatProxy(alice)),
  };
});
after(() => stack.disposeAsync());

/** Starts Hopline with this one hop, under the name `only`. */
function through(hop: string) {
  return hopline(configured(directory, {
    listeners: [{ address: "127.0.0.1:0" }],
    hops: { only: hop },
    chains: { out: ["only"] },
  }));
}

const user = "alice:s3cret@";
const encoded = `${encodeURIComponent(hostile.username)}:${encodeURIComponent(hostile.password)}@`;
const rows: [peer: keyof typeof peers, scheme: string, credentials?: string][] = [
  ["danted", "socks5"],
  ["danted", "socks5h"],
  ["danted", "socks4"],
  ["microsocks", "socks5"],
  ["microsocksUsers", "socks5", user],
  ["microsocksHostile", "socks5", encoded],
  ["ssh", "socks5"],
  ["ssh", "socks4"],
  ["ssh", "socks4a"],
  ["squid", "http"],
  ["squidUsers", "http", user],
  ["tinyproxy", "http"],
  ["tinyproxyUsers", "http", user],
  ["ncat", "http"],
  ["ncatUsers", "http", user],
];

for (const [name, scheme, credentials = ""] of rows) {
  test(`${name} as a ${scheme} hop${credentials && " with a user"}`, async () => {
    await using proxy = await through(`${scheme}://${credentials}${peers[name].address}`);
    // A name and an address, so that both of the hop's address types are used.
    const requests: [Dialect, string][] = [["socks5", `localhost:${web.port}`], ["http", web.address]];
    for (const [protocol, target] of requests) {
      const trail = proxy.trail();
      const { code, stdout, stderr } = await fetchThrough(protocol, proxy.address, `http://${target}/blob`);
      assertEquals(code, 0, stderr);
      assertEquals(sha256(stdout), sha256(blob));
      const where = { target, protocol, bytesDown: atLeast(blob.length) };
      assertEquals((await trail.find("tunnel.closed", where)).via, ["only"]);
    }
    await peers[name].saw(web);
    assertEquals(await proxy.stop(), 0, proxy.output());
  });
}

const wrong: [peer: keyof typeof peers, scheme: string][] = [
  ["microsocksUsers", "socks5"],
  ["squidUsers", "http"],
  ["tinyproxyUsers", "http"],
  ["ncatUsers", "http"],
];

for (const [name, scheme] of wrong) {
  for (const credentials of ["alice:mistaken@", ""]) {
    test(`${name} refuses ${credentials ? "a wrong password" : "nobody in particular"}`, async () => {
      await using proxy = await through(`${scheme}://${credentials}${peers[name].address}`);
      const trail = proxy.trail();
      const socks = await fetchThrough("socks5", proxy.address, `${web.url}/blob`);
      assertEquals(socks.code, 97, socks.stderr);
      assertStringIncludes(socks.stderr, "(1)");
      const http = await fetchThrough("http", proxy.address, `${web.url}/blob`, ["-D", "-"]);
      assertMatch(String(http.stdout), /^HTTP\/1\.1 502 /);
      for (const protocol of ["socks5", "http"]) {
        const { error } = await trail.find("tunnel.failed", { target: web.address, protocol });
        assertEquals([error.code, error.hop, error.stage], ["auth", 1, "auth"]);
        assertStringIncludes(error.label, peers[name].address);
      }
      assertEquals(proxy.output().includes("mistaken"), false, "the password is in the log");
    });
  }
}

test("squid's 403 for a port it does not allow reaches each client as a denial by hop 1", async () => {
  await using office = await squid({ ports: [443] });
  await using proxy = await through(`http://${office.address}`);
  const trail = proxy.trail();
  const socks = await fetchThrough("socks5", proxy.address, `${web.url}/blob`);
  assertEquals(socks.code, 97, socks.stderr);
  assertStringIncludes(socks.stderr, "(2)");
  const http = await fetchThrough("http", proxy.address, `${web.url}/blob`, ["-D", "-"]);
  assertMatch(String(http.stdout), /^HTTP\/1\.1 403 /);
  assertMatch(String(http.stdout), /^proxy-status: /im);
  for (const protocol of ["socks5", "http"]) {
    const { error } = await trail.find("tunnel.failed", { target: web.address, protocol });
    assertEquals([error.code, error.hop, error.stage], ["denied", 1, "request"]);
  }
});

for (const name of ["danted", "microsocks"] as const) {
  test(`a port that ${name} finds closed is "refused" to each client`, async () => {
    await using proxy = await through(`socks5://${peers[name].address}`);
    const target = `127.0.0.1:${await freePort()}`;
    const trail = proxy.trail();
    const socks = await fetchThrough("socks5", proxy.address, `http://${target}/`);
    assertStringIncludes(socks.stderr, "(5)");
    const http = await fetchThrough("http", proxy.address, `http://${target}/`, ["-D", "-"]);
    assertMatch(String(http.stdout), /^HTTP\/1\.1 502 /);
    for (const protocol of ["socks5", "http"]) {
      const { error } = await trail.find("tunnel.failed", { target, protocol });
      assertEquals([error.code, error.hop, error.stage], ["refused", 1, "request"]);
    }
  });
}

for (const name of ["squid", "tinyproxy", "ncat"] as const) {
  test(`a target that ${name} can't reach is a failure of hop 1`, async () => {
    await using office = name === "squid" ? await squid({ ports: [1] }) : undefined;
    await using proxy = await through(`http://${(office ?? peers[name]).address}`);
    const trail = proxy.trail();
    const { code, stderr } = await fetchThrough("socks5", proxy.address, "http://127.0.0.1:1/");
    assertEquals(code, 97, stderr);
    const { error } = await trail.find("tunnel.failed", { target: "127.0.0.1:1" });
    assertEquals([error.hop, error.stage], [1, "request"]);
  });
}

test("a hop that nobody runs is named, with its stage", async () => {
  const at = `127.0.0.1:${await freePort()}`;
  await using proxy = await through(`socks5://${at}`);
  const trail = proxy.trail();
  const { code, stderr } = await fetchThrough("socks5", proxy.address, `${web.url}/blob`);
  assertEquals(code, 97, stderr);
  const { error } = await trail.find("tunnel.failed", { target: web.address });
  assertEquals([error.code, error.hop, error.stage], ["refused", 1, "connect"]);
  assertStringIncludes(error.label, at);
});
