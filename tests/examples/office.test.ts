/**
 * The two configurations, run together: laptop.jsonc, an office proxy between, and relay.yaml outside.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fetchThrough } from "../support/fetch.ts";
import { type Hopline, hopline, hoplineCommand, root } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { must } from "../support/process.ts";

const example = (name: string) => join(root, "examples", name);

const stack = new AsyncDisposableStack();
let web: WebOrigin;
let relay: Hopline;
let office: Hopline;
let laptop: Hopline;
before(async () => {
  web = stack.use(await webOrigin());
  relay = stack.use(await hopline(["-c", example("relay.yaml")], 1, { RELAY_ADDRESS: "127.0.0.1:0" }));
  office = stack.use(await hopline(["-L", "http://127.0.0.1:0"]));
  const env = { HOPLINE_PORT: "0", OFFICE_PROXY: office.address, RELAY: relay.address };
  laptop = stack.use(await hopline(["-c", example("laptop.jsonc")], 1, env));
});
after(() => stack.disposeAsync());

for (const dialect of ["socks5", "socks4", "http"] as const) {
  test(`a request by ${dialect} travels from the laptop over the office and the relay, unharmed`, async () => {
    const [atLaptop, atOffice, atRelay] = [laptop, office, relay].map((one) => one.trail());
    const { code, stdout, stderr } = await fetchThrough(dialect, laptop.address, `${web.url}/blob`);
    assertEquals([code, sha256(stdout)], [0, sha256(blob)], stderr);
    const { via } = await atLaptop.find("tunnel.closed", { target: web.address, protocol: dialect });
    assertEquals(via, ["office", "relay"]);
    await atOffice.find("tunnel.closed", { target: relay.address, protocol: "http" });
    await atRelay.find("tunnel.closed", { target: web.address, protocol: "socks5", user: "alice" });
  });
}

test("the relay serves nobody without TLS, and nobody without the password", async () => {
  const plain = await fetchThrough("socks5", relay.address, `${web.url}/blob`);
  assertEquals([plain.code === 0, plain.stdout.length], [false, 0]);
  const hop = `socks5+tls://${relay.address}?sni=relay.example.net&ca=${example("certificates/ca.pem")}`;
  const { code, stderr } = await hoplineCommand(["connect", web.address, "-F", hop]);
  assertEquals(code, 1);
  assertMatch(stderr, /hop 1, .*, auth: /);
});

test("both pass the check as they stand", async () => {
  for (const name of ["laptop.jsonc", "relay.yaml"]) {
    const { code, stderr } = await hoplineCommand(["check", example(name)]);
    assertEquals([code, stderr], [0, ""]);
  }
});

test("the certificates belong together and are good for years", async () => {
  const [ca, certificate] = [example("certificates/ca.pem"), example("certificates/relay.pem")];
  await must("openssl", ["verify", "-CAfile", ca, "-verify_hostname", "relay.example.net", certificate]);
  await must("openssl", ["x509", "-in", certificate, "-noout", "-checkend", String(365 * 24 * 3600)]);
});
