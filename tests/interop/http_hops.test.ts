/**
 * Real office proxies that refuse CONNECT to port 80, and take requests in absolute form.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { type Hopline, hopline } from "../support/hopline.ts";
import { blob, sha256 } from "../support/origins.ts";
import { type Peer, squid, tinyproxy } from "../support/peers.ts";
import { eventually, must, run } from "../support/process.ts";

const stack = new AsyncDisposableStack();
const credentials = { username: "alice", password: "s3cret" };
/** Loopback addresses have room for a web server on port 80 that disturbs nobody. */
let address: string;

before(async () => {
  const web = createServer((request, response) => {
    if (request.url === "/blob") return void response.end(blob);
    const hash = createHash("sha256");
    request.on("data", (chunk) => hash.update(chunk));
    request.on(
      "end",
      () => response.end(JSON.stringify({ hash: hash.digest("hex"), headers: request.headers })),
    );
  });
  address = await eventually("port 80 on some loopback address", () => {
    const random = () => 2 + Math.floor(Math.random() * 250);
    const host = `127.${random()}.${random()}.${random()}`;
    return new Promise<string | undefined>((resolve) => {
      web.once("error", () => resolve(undefined));
      web.listen({ host, port: 80 }, () => resolve(host));
    });
  });
  stack.defer(async () => {
    web.closeAllConnections();
    await new Promise((resolve) => web.close(resolve));
  });
});
after(() => stack.disposeAsync());

const peers: Record<string, (credentials?: { username: string; password: string }) => Promise<Peer>> = {
  squid: (credentials) => squid({ ports: [443], plain: true, credentials }),
  tinyproxy,
};

for (const [name, start] of Object.entries(peers)) {
  for (const user of [undefined, credentials]) {
    test(`${name}${user ? " with a user" : ""}: requests for port 80 in absolute form`, async () => {
      await using peer = await start(user);
      const secret = user ? `${user.username}:${user.password}@` : "";
      await using proxy = await hopline([
        "-L",
        "127.0.0.1:0",
        "-F",
        `http://${secret}${peer.address}?forward=absolute`,
      ]);
      const trail = proxy.trail();
      assertEquals(sha256(await ask(proxy, "/blob")), sha256(blob));
      const { status, via } = await trail.find("tunnel.closed", { target: `${address}:80`, method: "GET" });
      assertEquals([status, via], [200, [`http://${peer.address}`]]);
      const { hash, headers } = JSON.parse(
        String(await ask(proxy, "/", ["-T", "-", "-H", "Expect:", "-H", "Transfer-Encoding: chunked"])),
      );
      assertEquals([hash, headers["proxy-authorization"]], [sha256(blob), undefined]);
      assertMatch(headers.via, /hopline-[0-9a-f]+, 1\.1 /);
      assertMatch(peer.journal(), new RegExp(`(GET|PUT) http://${address.replaceAll(".", "\\.")}/`));
    });
  }
}

test("without the option squid refuses, and the client learns why", async () => {
  await using peer = await peers.squid();
  await using proxy = await hopline(["-L", "127.0.0.1:0", "-F", `http://${peer.address}`]);
  const { stdout } = await run("curl", ["-sSi", "-x", `http://${proxy.address}`, `http://${address}/blob`]);
  assertMatch(String(stdout), /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*hop 1, /);
});

async function ask(proxy: Hopline, path: string, more: string[] = []) {
  const args = ["-sSf", "-x", `http://${proxy.address}`, ...more, `http://${address}${path}`];
  return (await must("curl", args, { input: blob })).stdout;
}
