/**
 * Whole chains. First the one that Hopline exists for: an office proxy that allows nothing but CONNECT to port
 * 443, and outside it a SOCKS5 server hiding behind TLS on that port.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { type Dialect, fetchThrough } from "../support/fetch.ts";
import { atLeast, configured, type Hopline, hopline } from "../support/hopline.ts";
import { afterEndOrigin, blob, type Origin, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { danted, microsocks, ncatProxy, type Peer, squid, sshDynamic, tinyproxy } from "../support/peers.ts";
import { must } from "../support/process.ts";
import { sshServer } from "../support/ssh.ts";
import { stunnel } from "../support/stunnel.ts";
import { outsideAddress, temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const alice = { username: "alice", password: "s3cret" };
let web: WebOrigin;
let last: Origin;
let peers: Record<"office" | "microsocks" | "exit" | "danted" | "ssh" | "tinyproxy" | "ncat", Peer>;
let outside: Hopline;
/** Hops by the names that the configuration below gives them. */
let hops: Record<string, string>;

before(async () => {
  const ca = await authority(directory, "ca");
  const [relay, machine] = [await outsideAddress(), await outsideAddress()];
  const certificate = await ca.issue("relay.test", relay, machine);
  web = stack.use(await webOrigin());
  last = stack.use(await afterEndOrigin());
  peers = {
    office: stack.use(await squid({ ports: [443], credentials: alice })),
    exit: stack.use(await microsocks(alice)),
    microsocks: stack.use(await microsocks()),
    danted: stack.use(await danted()),
    ssh: stack.use(await sshDynamic(stack.use(await sshServer()))),
    tinyproxy: stack.use(await tinyproxy()),
    ncat: stack.use(await ncatProxy()),
  };
  stack.use(await stunnel({ to: peers.exit.address, certificate, hostname: relay, port: 443 }));
  outside = stack.use(
    await hopline(configured(directory, {
      listeners: [{
        address: `${machine}:443`,
        protocols: ["socks5"],
        tls: { certificate: certificate.cert, key: certificate.key, required: true },
        users: [alice],
      }],
    })),
  );
  const user = `${alice.username}:${alice.password}`;
  hops = {
    office: `http://${user}@${peers.office.address}`,
    relay: `socks5+tls://${user}@${relay}:443?ca=${ca.file}`,
    hopline: `socks5+tls://${user}@${machine}:443?ca=${ca.file}`,
    intruder: `socks5+tls://alice:mistaken@${machine}:443?ca=${ca.file}`,
    microsocks: `socks5://${peers.microsocks.address}`,
    danted: `socks5://${peers.danted.address}`,
    ssh: `socks5://${peers.ssh.address}`,
    ssh4a: `socks4a://${peers.ssh.address}`,
    tinyproxy: `http://${peers.tinyproxy.address}`,
    ncat: `http://${peers.ncat.address}`,
  };
});
after(() => stack.disposeAsync());

/** Starts Hopline with a chain of these hops, or without any. */
function through(...chain: string[]): Promise<Hopline> {
  const listeners = [{ address: "127.0.0.1:0" }];
  const chosen = Object.fromEntries(chain.map((name) => [name, hops[name]]));
  const way = chain.length > 0 ? { hops: chosen, chains: { out: chain } } : {};
  return hopline(configured(directory, { listeners, ...way }));
}

const chains: [names: string[], witnesses: (keyof typeof peers)[]][] = [
  [["office", "relay"], ["exit"]],
  [["office", "hopline"], []],
  [["office", "relay", "danted"], ["danted"]],
  [["danted", "microsocks"], ["microsocks"]],
  [["microsocks", "tinyproxy"], ["tinyproxy"]],
  [["tinyproxy", "danted"], ["danted"]],
  [["ncat", "ssh"], ["ssh"]],
  [["ssh4a", "ncat"], ["ncat"]],
  [["tinyproxy", "ssh", "microsocks"], ["microsocks"]],
  [["danted", "ncat", "hopline"], []],
];

for (const [names, witnesses] of chains) {
  test(`${names.join(" → ")} → origin`, async () => {
    await using proxy = await through(...names);
    const trails = [proxy.trail(), outside.trail()];
    const requests: [Dialect, string][] = [["socks5", `localhost:${web.port}`], ["http", web.address]];
    for (const [protocol, target] of requests) {
      const { code, stdout, stderr } = await fetchThrough(protocol, proxy.address, `http://${target}/blob`);
      assertEquals(code, 0, stderr + proxy.output());
      assertEquals(sha256(stdout), sha256(blob));
      const where = { target, protocol, bytesDown: atLeast(blob.length) };
      assertEquals((await trails[0].find("tunnel.closed", where)).via, names);
      if (names.at(-1) === "hopline") {
        const there = { target, protocol: "socks5", user: "alice", bytesDown: atLeast(blob.length) };
        await trails[1].find("tunnel.closed", there);
      }
    }
    for (const witness of witnesses) await peers[witness].saw(web);
    if (names[0] === "office") await peers.office.saw({ port: 443 });
    assertEquals(await proxy.stop(), 0, proxy.output());
  });
}

// microsocks writes before it reads: it locks up when both directions are full at once, with any client.
for (const [exit, path] of [["relay", "/return"], ["hopline", "/return"], ["hopline", "/mirror"]]) {
  test(`16 MiB go up and come back through office → ${exit}, ${path}`, async () => {
    const body = randomBytes(16 << 20);
    const upload = ["-H", "Expect:", "--data-binary", `@${directory.write("body", body)}`];
    await using proxy = await through("office", exit);
    const trail = proxy.trail();
    const url = `${web.url}${path}`;
    const patience = { timeout: 50_000 };
    const { code, stdout, stderr } = await fetchThrough("socks5", proxy.address, url, upload, patience);
    assertEquals(code, 0, stderr + proxy.output());
    assertEquals(sha256(stdout), sha256(body));
    const bytes = atLeast(body.length);
    await trail.find("tunnel.closed", { target: web.address, bytesUp: bytes, bytesDown: bytes });
  });
}

// Of the servers here danted and ssh keep a half-close; the others end both ways with the first FIN. Inside TLS the
// end of a direction is a close_notify, which none of them sees: so it passes all of them on the way to Hopline.
const halfClosing = ["", "danted", "ssh", "hopline", "danted hopline", "office hopline", "ncat hopline"];
for (const names of halfClosing.map((chain) => chain.split(" ").filter(Boolean))) {
  for (const type of ["socks5", "http"]) {
    test(`an answer after the client's FIN comes back through ${names.join(" → ") || "no hop"}, ${type}`, async () => {
      await using proxy = await through(...names);
      const trail = proxy.trail();
      const args = ["--proxy", proxy.address, "--proxy-type", type, last.hostname, String(last.port)];
      const { stdout } = await must("ncat", args, { input: blob });
      assertEquals(sha256(stdout), sha256(blob));
      const bytes = { bytesUp: blob.length, bytesDown: blob.length };
      await trail.find("tunnel.closed", { target: last.address, ...bytes });
    });
  }
}

const broken: [names: string[], hop: number, code: string, stage: string, reply: number, status: number][] = [
  [["office"], 1, "denied", "request", 2, 403],
  [["office", "microsocks"], 1, "denied", "request", 2, 403],
  [["office", "intruder"], 2, "auth", "auth", 1, 502],
  [["danted", "intruder"], 2, "auth", "auth", 1, 502],
];

for (const [names, hop, code, stage, reply, status] of broken) {
  test(`${names.join(" → ")} fails at hop ${hop}, and says so`, async () => {
    await using proxy = await through(...names);
    const trail = proxy.trail();
    const socks = await fetchThrough("socks5", proxy.address, `${web.url}/blob`);
    assertEquals(socks.code, 97, socks.stderr);
    assertStringIncludes(socks.stderr, `(${reply})`);
    const http = await fetchThrough("http", proxy.address, `${web.url}/blob`, ["-D", "-"]);
    assertMatch(String(http.stdout), new RegExp(`^HTTP/1\\.1 ${status} `));
    for (const protocol of ["socks5", "http"]) {
      const { error } = await trail.find("tunnel.failed", { target: web.address, protocol });
      assertEquals([error.hop, error.code, error.stage], [hop, code, stage], JSON.stringify(error));
    }
    assertEquals(proxy.output().includes("mistaken"), false, "the password is in the log");
  });
}
