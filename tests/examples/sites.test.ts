/**
 * sites.jsonc: a web server for the sites that routes name.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Hopline, hopline, root } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { must } from "../support/process.ts";

const stack = new AsyncDisposableStack();
let app: WebOrigin;
let lab: WebOrigin;
let sites: Hopline;
before(async () => {
  app = stack.use(await webOrigin());
  lab = stack.use(await webOrigin());
  const hop = stack.use(await hopline(["-L", `tcp://127.0.0.1:0/${lab.address}`]));
  const env = { SITES_PORT: "0", APP: app.address, LAB: `http://${hop.address}?forward=absolute` };
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

test("any other site is misdirected", async () => {
  const answer = await ask("127.0.0.1:1", "/", "-i");
  assertStringIncludes(answer.toString(), "HTTP/1.1 421 Misdirected Request");
});
