/**
 * HTTP/2 with programs of other makes: nghttpx as a client and as a hop, h2load as a crowd.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { test } from "node:test";
import { authority } from "../support/certificates.ts";
import { hopline } from "../support/hopline.ts";
import { blob, sha256, webOrigin } from "../support/origins.ts";
import { nghttpx, squid } from "../support/peers.ts";
import { must, run } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";

/** Fetches the blob ten times at once through a proxy, each over a tunnel of its own. */
async function fetchTen(proxy: string, url: string, connection = "close"): Promise<void> {
  // The origin has to end first: nghttpx and squid do not pass a client's end on.
  const options = ["-sS", "-p", "-H", `Connection: ${connection}`, "-x", proxy];
  const fetches = Array.from({ length: 10 }, () => must("curl", [...options, `${url}/blob`]));
  for (const { stdout } of await Promise.all(fetches)) assertEquals(sha256(stdout), sha256(blob));
}

test("nghttpx is an HTTP/2 client of Hopline", async () => {
  await using origin = await webOrigin();
  await using proxy = await hopline(["-L", "http://127.0.0.1:0"]);
  await using front = await nghttpx({ backend: { port: Number(proxy.address.split(":")[1]), h2: true } });
  const trail = proxy.trail();
  // Here it is the client: with HTTP/1.1 on its other side, nghttpx forgets a tunnel whose target has ended first.
  await fetchTen(`http://${front.address}`, origin.url, "keep-alive");
  const { protocol, target } = await trail.find("tunnel.closed");
  assertEquals([protocol, target], ["h2", origin.address]);
  const refused = await run("curl", [
    "-sS",
    "-v",
    "-p",
    "-x",
    `http://${front.address}`,
    "http://127.0.0.1:1/",
  ]);
  assertMatch(refused.stderr, /502/);
});

for (const scheme of ["h2", "https"]) {
  test(`nghttpx in front of squid is a hop by ${scheme}://`, async () => {
    using directory = temporaryDirectory();
    const ca = await authority(directory, "ca");
    await using origin = await webOrigin();
    await using office = await squid({ ports: [origin.port] });
    await using front = await nghttpx({
      backend: { port: office.port, h2: false },
      tls: await ca.issue("localhost", "127.0.0.1"),
    });
    await using proxy = await hopline([
      "-L",
      "127.0.0.1:0",
      "-F",
      `${scheme}://${front.address}?ca=${ca.file}`,
    ]);
    await fetchTen(`socks5h://${proxy.address}`, origin.url);
    await office.saw(origin);
    await front.saw(origin);
    assertMatch(front.journal(), /CONNECT \S+ HTTP\/2/);
    const trail = proxy.trail();
    await run("curl", ["-sS", "-p", "-x", `http://${proxy.address}`, "http://127.0.0.1:1/"]);
    const { error } = await trail.find("tunnel.failed");
    assertEquals([error.code, error.hop, error.stage], ["denied", 1, "request"]);
  });
}

test("nghttpx between two Hoplines, HTTP/2 on both sides", async () => {
  using directory = temporaryDirectory();
  const ca = await authority(directory, "ca");
  await using origin = await webOrigin();
  await using far = await hopline(["-L", "http://127.0.0.1:0"]);
  await using middle = await nghttpx({
    backend: { port: Number(far.address.split(":")[1]), h2: true },
    tls: await ca.issue("localhost", "127.0.0.1"),
  });
  await using near = await hopline(["-L", "127.0.0.1:0", "-F", `h2://${middle.address}?ca=${ca.file}`]);
  await fetchTen(`socks5h://${near.address}`, origin.url);
});

test("nghttpx hands plain requests on to Hopline inside HTTP/2", async () => {
  await using origin = await webOrigin();
  await using proxy = await hopline(["-L", "http://127.0.0.1:0"]);
  await using front = await nghttpx({ backend: { port: Number(proxy.address.split(":")[1]), h2: true } });
  const trail = proxy.trail();
  const through = ["-sS", "-x", `http://${front.address}`];
  const fetches = Array.from({ length: 10 }, () => must("curl", [...through, `${origin.url}/blob`]));
  for (const { stdout } of await Promise.all(fetches)) assertEquals(sha256(stdout), sha256(blob));
  const bodies = [["--data-binary", "@-"], ["-T", "-"], ["-T", "-", "-H", "Expect: 100-continue"]];
  for (const body of bodies) {
    const { stdout } = await must("curl", [...through, ...body, `${origin.url}/mirror`], { input: blob });
    assertEquals(sha256(stdout), sha256(blob));
  }
  const { protocol, method, target, status } = await trail.find("tunnel.closed");
  assertEquals([protocol, method, target, status], ["h2", "GET", origin.address, 200]);
  const refused = await must("curl", [...through, "-o", "-", "-w", "%{http_code}", "http://127.0.0.1:1/"]);
  assertMatch(refused.stdout.toString(), /connection refused[^]*502$/);
});

test("nghttp asks for http:// inside HTTP/2", async () => {
  await using origin = await webOrigin();
  await using proxy = await hopline(["-L", "http://127.0.0.1:0"]);
  const trail = proxy.trail();
  const host = ["-H", `:authority: ${origin.address}`];
  const { stdout } = await must("nghttp", [...host, `http://${proxy.address}/blob`]);
  assertEquals(sha256(stdout), sha256(blob));
  const { protocol, method, target } = await trail.find("tunnel.closed");
  assertEquals([protocol, method, target], ["h2", "GET", origin.address]);
});

test("h2load's crowd is answered, request by request", async () => {
  await using origin = await webOrigin();
  await using proxy = await hopline(["-L", "http://127.0.0.1:0"]);
  const crowd = ["-n", "2000", "-c", "10", "-m", "20", "-H", `:authority: ${origin.address}`];
  const { stdout } = await must("h2load", [...crowd, `http://${proxy.address}/headers`]);
  assertMatch(stdout.toString(), /2000 total, 2000 started, 2000 done, 2000 succeeded/);
  assertMatch(stdout.toString(), /2000 2xx/);
});

test("two Hoplines over one HTTP/2 connection, and one that ends its client's tunnels last", async () => {
  using directory = temporaryDirectory();
  const ca = await authority(directory, "ca");
  const { cert, key } = await ca.issue("localhost", "127.0.0.1");
  await using origin = await webOrigin();
  await using far = await hopline(["-L", `http+tls://alice:secret@127.0.0.1:0?cert=${cert}&key=${key}`]);
  await using near = await hopline([
    "-L",
    "127.0.0.1:0",
    "-F",
    `h2://alice:secret@${far.address}?ca=${ca.file}`,
  ]);
  const trail = far.trail();
  await fetchTen(`socks5h://${near.address}`, origin.url);
  const first = await trail.find("tunnel.closed", { protocol: "h2", user: "alice" });
  await trail.find("tunnel.closed", { id: (id) => id !== first.id, client: first.client });
  assertEquals(await far.stop(), 0);
  assertEquals(await near.stop(), 0);
});
