/**
 * sites.jsonc: a web server for the sites that routes name.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ok, type Origin, origin } from "../http/talk.ts";
import { type Hopline, hopline, root } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { must } from "../support/process.ts";
import { freePort } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
let app: WebOrigin;
let lab: WebOrigin;
let shops: Origin[];
let mail: WebOrigin;
let sites: Hopline;
before(async () => {
  app = stack.use(await webOrigin());
  lab = stack.use(await webOrigin());
  const hop = stack.use(await hopline(["-L", `tcp://127.0.0.1:0/${lab.address}`]));
  shops = [stack.use(await origin(() => ok("one"))), stack.use(await origin(() => ok("two")))];
  const [cert, key] = ["relay.pem", "relay.key"].map((name) => join(root, "examples/certificates", name));
  mail = stack.use(await webOrigin({ tls: { cert, key } }));
  const env = {
    SITES_PORT: "0",
    APP: app.address,
    LAB: `http://${hop.address}?forward=absolute`,
    SHOP_1: shops[0].at,
    SHOP_2: shops[1].at,
    MAIL_1: `127.0.0.1:${await freePort()}`,
    MAIL_2: mail.address,
  };
  sites = stack.use(await hopline(["-c", join(root, "examples/sites.jsonc")], 1, env));
});
after(() => stack.disposeAsync());

const ask = async (host: string, path: string, ...more: string[]) => {
  const { stdout } = await must("curl", ["-sS", "-H", `Host: ${host}`, ...more, `${sites.address}${path}`]);
  return stdout;
};

for (const ways of [["http://"], ["https://", "-k", "--http1.1"], ["https://", "-k", "--http2"]]) {
  const [scheme, ...more] = ways;
  test(`a site is served by ${ways.join(" ")}`, async () => {
    const fetched = await must("curl", [
      ...["-sS", "-H", `Host: ${app.address}`, ...more],
      `${scheme}${sites.address}/blob`,
    ]);
    assertEquals(sha256(fetched.stdout), sha256(blob));
  });
}

test("Host goes on as it came, with the client's address", async () => {
  const headers = JSON.parse((await ask(app.address, "/headers")).toString());
  assertEquals([headers.host, headers.forwarded], [app.address, "for=127.0.0.1"]);
});

test("a site in another network is reached by its hop", async () => {
  const headers = JSON.parse((await ask("www.lab.example", "/headers")).toString());
  assertEquals(headers.host, "www.lab.example");
});

test("two servers share a site", async () => {
  for (let i = 0; i < 4; i++) await ask("shop.example", "/");
  assertEquals(shops.map(({ requests }) => requests.length), [2, 2]);
});

test("TLS for its name goes to the server that works, unopened", async () => {
  const trail = sites.trail();
  const to = ["--connect-to", `::${sites.address}`];
  const { stdout } = await must("curl", ["-sS", "-k", ...to, "https://mail.example/blob"]);
  assertEquals(sha256(stdout), sha256(blob));
  const { protocol, server } = await trail.find("tunnel.closed", { target: "mail.example:443" });
  assertEquals([protocol, server], ["sni", mail.address]);
});

test("any other site is misdirected", async () => {
  const answer = await ask("127.0.0.1:1", "/", "-i");
  assertStringIncludes(answer.toString(), "HTTP/1.1 421 Misdirected Request");
});
