/**
 * `fetchThrough`: the platform's fetch by way of a dialer.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { chain, type Dialer, direct, fetchThrough, http, ProxyError, socks5 } from "@hopline/hopline";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { command, root } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { must } from "../support/process.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { type Serving, serving } from "../server/serving.ts";
import { scripted } from "../server/wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let web: WebOrigin;
let near: Serving;
let far: Serving;
before(async () => {
  web = stack.use(await webOrigin());
  near = stack.use(await serving());
  far = stack.use(await serving());
});
after(() => stack.disposeAsync());

const json = async (response: Promise<Response>) =>
  JSON.parse(await (await response).text()) as Record<string, string>;
const hops = () => [http(near.at), socks5(far.at)];

test("a request goes through every hop, and its body comes back whole", async () => {
  await using fetch = fetchThrough(chain(hops()));
  const got = await fetch(`${web.url}/blob`);
  assertEquals([got.status, sha256(new Uint8Array(await got.arrayBuffer()))], [200, sha256(blob)]);
  const sent = await fetch(new URL(`${web.url}/return`), { method: "POST", body: new Uint8Array(blob) });
  assertEquals(sha256(new Uint8Array(await sent.arrayBuffer())), sha256(blob));
  const request = new Request(`${web.url}/headers`, { headers: { "x-test": "yes" } });
  const headers = await json(fetch(request));
  assertEquals([headers["x-test"], headers["proxy-authorization"]], ["yes", undefined]);
});

test("many requests at once go each their way", async () => {
  await using fetch = fetchThrough(chain(hops()));
  const texts = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      const headers = { "x-number": String(n) };
      return (await json(fetch(`${web.url}/headers`, { headers })))["x-number"];
    }),
  );
  assertEquals(texts, Array.from({ length: 20 }, (_, n) => String(n)));
});

test("https is verified by the platform, and the name is resolved by nobody here", async () => {
  const own = await authority(directory, "fetch-ca");
  await using secure = await webOrigin({ tls: await own.issue("secure.test") });
  const asked: string[] = [];
  const dialer: Dialer = {
    dial(target, ctx) {
      asked.push(`${target.hostname}:${target.port}`);
      return direct().dial({ hostname: "127.0.0.1", port: secure.port }, ctx);
    },
  };
  await using fetch = fetchThrough(dialer);
  const error = await assertRejects(() => fetch("https://secure.test/blob"));
  assertEquals([asked, error instanceof ProxyError], [["secure.test:443"], false]);
});

for (const scheme of ["http", "https"]) {
  test(`a server that can't be reached by ${scheme} is a ProxyError that names the hop`, async () => {
    await using fetch = fetchThrough(chain(hops()));
    const error = await assertRejects(
      async () => fetch(`${scheme}://127.0.0.1:${await freePort()}/`),
      ProxyError,
    );
    assertEquals([error.code, error.hop, error.stage], ["refused", 2, "request"]);
    assertMatch(error.message, /connection refused/i);
  });
}

test("what an origin answers is no failure, even if it looks like one of ours", async () => {
  await using odd = await scripted(async (wire) => {
    await wire.readThrough("\r\n\r\n");
    wire.send("HTTP/1.1 502 No\r\nProxy-Status: hopline; error=x\r\nContent-Length: 2\r\n\r\nno");
  });
  await using fetch = fetchThrough(chain(hops()));
  const response = await fetch(`http://${odd.address}/`);
  assertEquals([response.status, await response.text()], [502, "no"]);
});

test("a request that is aborted ends, and so does a fetch that is disposed of", async () => {
  await using silent = await scripted();
  const fetch = fetchThrough(chain(hops()));
  const controller = new AbortController();
  const waiting = fetch(`http://${silent.address}/`, { signal: controller.signal });
  controller.abort();
  await assertRejects(() => waiting);
  const lost = assertRejects(() => fetch(`http://${silent.address}/`));
  await near.logged("tunnel.closed");
  await fetch[Symbol.asyncDispose]();
  await lost;
});

test("a program that disposes of nothing ends behind its last request", async () => {
  const script = directory.write(
    "program.ts",
    `import { chain, fetchThrough, socks5 } from ${JSON.stringify(join(root, "mod.ts"))};
const fetch = fetchThrough(chain([socks5("127.0.0.1:${far.at.port}")]));
const texts = [1, 2, 3].map(async () => (await (await fetch("${web.url}/blob")).arrayBuffer()).byteLength);
console.log((await Promise.all(texts)).join(" "));
const failure = await fetch("http://127.0.0.1:${await freePort()}/").catch((error) => error);
console.log(failure.code);
`,
  );
  const [runtime, ...before] = command.slice(0, -1);
  const map = "Bun" in globalThis ? [] : ["--config", join(root, "deno.json")];
  const { stdout } = await must(runtime, [...before, ...map, script], { timeout: 30_000 });
  assertEquals(String(stdout), `${blob.length} ${blob.length} ${blob.length}\nrefused\n`);
});
