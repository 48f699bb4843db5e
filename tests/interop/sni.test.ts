/**
 * TLS by name with curl and openssl: the origin's own certificate arrives, or the one of the listener.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { after, before, test } from "node:test";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { atLeast, configured, hopline } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { danted } from "../support/peers.ts";
import { must, run } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let issuer: Authority;
let own: Certificate;
let one: Certificate;
let two: Certificate;
let web: WebOrigin;
let plain: WebOrigin;
before(async () => {
  issuer = await authority(directory, "names");
  own = await issuer.issue("localhost");
  one = await issuer.issue("one.test");
  two = await issuer.issue("two.test", "*.two.test");
  web = stack.use(await webOrigin({ tls: own }));
  plain = stack.use(await webOrigin());
});
after(() => stack.disposeAsync());

const pem = ({ cert, key }: Certificate) => ({ certificate: cert, key });
const portOf = (address: string) => address.split(":").at(-1)!;

/** Fetches the blob from a server of this name, wherever that is. */
async function fetchBlob(name: string, port: string, ...more: string[]): Promise<void> {
  const { stdout } = await must("curl", [
    ...["-sS", "--cacert", issuer.file, "--resolve", `${name}:${port}:127.0.0.1`, ...more],
    `https://${name}:${port}/blob`,
  ]);
  assertEquals(sha256(stdout), sha256(blob));
}

/** The subject of the certificate that openssl is shown, and what it says of an alert. */
async function shown(address: string, ...name: string[]): Promise<string> {
  const { stdout, stderr } = await run("openssl", ["s_client", "-connect", address, ...name], { input: "" });
  const text = stdout.toString() + stderr;
  return /subject=\s*CN ?= ?(\S+)/.exec(text)?.[1] ?? /SSL alert number (\d+)/.exec(text)?.[0] ?? text;
}

for (const version of [["--tls-max", "1.2"], ["--tlsv1.3"]]) {
  test(`curl with ${version.join(" ")} reaches a TLS origin through sni://, under the origin's certificate`, async () => {
    await using house = await hopline(["-L", `sni://127.0.0.1:0?port=${web.port}`]);
    const trail = house.trail();
    await fetchBlob("localhost", portOf(house.address), ...version);
    await trail.find("tunnel.closed", {
      protocol: "sni",
      target: `localhost:${web.port}`,
      bytesDown: atLeast(blob.length),
    });
  });
}

test("a chain carries what is passed on by name", async () => {
  await using hop = await danted();
  await using house = await hopline([
    "-L",
    `sni://127.0.0.1:0?port=${web.port}`,
    "-F",
    `socks5://${hop.address}`,
  ]);
  await fetchBlob("localhost", portOf(house.address));
  await hop.saw(web);
});

test("openssl is shown the origin's certificate through sni://, and an alert without a name", async () => {
  await using house = await hopline(["-L", `sni://127.0.0.1:0?port=${web.port}`]);
  assertEquals(await shown(house.address, "-servername", "localhost"), "localhost");
  assertEquals(await shown(house.address, "-servername", "LOCALHOST"), "localhost");
  assertEquals(await shown(house.address, "-noservername"), "SSL alert number 112");
  assertEquals(await shown(house.address, "-servername", "127.0.0.1"), "SSL alert number 112");
});

test("one listener terminates some names and passes others on", async () => {
  const listener = {
    address: "127.0.0.1:0",
    sni: { port: web.port, names: ["localhost"] },
    tls: [pem(one), pem(two)],
    target: plain.address,
  };
  await using house = await hopline(configured(directory, { listeners: [listener] }));
  const port = portOf(house.address);
  const trail = house.trail();
  for (const name of ["one.test", "two.test", "a.two.test"]) await fetchBlob(name, port);
  await trail.find("tunnel.closed", { protocol: "tcp", target: plain.address });
  await fetchBlob("localhost", port);
  await trail.find("tunnel.closed", { protocol: "sni", target: `localhost:${web.port}` });
  const names = {
    "one.test": "one.test",
    "two.test": "two.test",
    "b.two.test": "two.test",
    "other.test": "one.test",
  };
  for (const [name, expected] of Object.entries(names)) {
    assertEquals(await shown(house.address, "-servername", name), expected);
  }
  assertEquals(await shown(house.address, "-servername", "localhost"), "localhost");
  assertEquals(await shown(house.address, "-noservername"), "one.test");
});

test("TLS is terminated and added again on the way to the target", async () => {
  const target = { address: web.address, tls: { ca: issuer.file, serverName: "localhost" } };
  await using house = await hopline(
    configured(directory, { listeners: [{ address: "127.0.0.1:0", tls: pem(one), target }] }),
  );
  await fetchBlob("one.test", portOf(house.address));
  assertEquals(await shown(house.address, "-servername", "one.test"), "one.test");
});

test("TLS is added for a client that speaks none", async () => {
  const target = { address: web.address, tls: { ca: issuer.file, serverName: "localhost" } };
  await using house = await hopline(
    configured(directory, { listeners: [{ address: "127.0.0.1:0", target }] }),
  );
  const { stdout } = await must("curl", ["-sS", `http://${house.address}/blob`]);
  assertEquals(sha256(stdout), sha256(blob));
});

test("a target is verified by its own name", async () => {
  const target = { address: web.address, tls: { ca: issuer.file, serverName: "one.test" } };
  await using house = await hopline(
    configured(directory, { listeners: [{ address: "127.0.0.1:0", target }] }),
  );
  const trail = house.trail();
  await run("curl", ["-sS", `http://${house.address}/blob`]);
  const { error } = await trail.find("tunnel.failed");
  assertEquals([error.code, error.stage, error.hop], ["tls", "tls", 0]);
  assertStringIncludes(error.message, "the certificate is for another name");
});
