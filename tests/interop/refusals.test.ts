/**
 * What curl is told when a tunnel can't be made: the cause, in the client's own protocol.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, test } from "node:test";
import { type Hopline, hopline } from "../support/hopline.ts";
import { run } from "../support/process.ts";
import { freePort } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
let proxy: Hopline;
let closed: string;
before(async () => {
  proxy = stack.use(await hopline(["-L", "127.0.0.1:0"]));
  closed = `127.0.0.1:${await freePort()}`;
});
after(() => stack.disposeAsync());

const rows: [
  cause: string,
  target: () => string,
  expected: { code: string; socks5: number; http: number; stage: string },
][] = [
  ["a closed port", () => closed, { code: "refused", socks5: 5, http: 502, stage: "connect" }],
  ["an unknown name", () => "name.invalid:80", { code: "resolve", socks5: 4, http: 502, stage: "resolve" }],
];

for (const [cause, target, expected] of rows) {
  const logged = async (protocol: string, trail: ReturnType<Hopline["trail"]>) => {
    const { error } = await trail.find("tunnel.failed", { target: target(), protocol });
    assertEquals([error.code, error.hop, error.stage], [expected.code, 0, expected.stage]);
  };

  test(`curl --socks5-hostname learns of ${cause}`, async () => {
    const trail = proxy.trail();
    const { code, stderr } = await run("curl", [
      "-sS",
      "--socks5-hostname",
      proxy.address,
      `http://${target()}/`,
    ]);
    assertEquals(code, 97, stderr);
    assertStringIncludes(stderr, `(${expected.socks5})`);
    await logged("socks5", trail);
  });

  test(`curl --socks4a learns of ${cause}`, async () => {
    const trail = proxy.trail();
    const { code, stderr } = await run("curl", ["-sS", "--socks4a", proxy.address, `http://${target()}/`]);
    assertEquals(code, 97, stderr);
    assertStringIncludes(stderr, "(91)");
    await logged("socks4", trail);
  });

  test(`curl -x http learns of ${cause}`, async () => {
    const trail = proxy.trail();
    const args = ["-sS", "-D", "-", "-p", "-x", `http://${proxy.address}`, `http://${target()}/`];
    const { code, stderr, stdout } = await run("curl", args);
    assertEquals(code, 56, stderr);
    assertMatch(String(stdout), new RegExp(`^HTTP/1\\.[01] ${expected.http} `));
    assertMatch(String(stdout), /^proxy-status: /im);
    assertMatch(String(stdout), /^content-type: text\/plain/im);
    await logged("http", trail);
  });
}

test("a request to Hopline itself, as if it were a web server, gets 400 and a word of explanation", async () => {
  const { code, stdout } = await run("curl", ["-sS", "-D", "-", `http://${proxy.address}/`]);
  assertEquals(code, 0);
  const [head, body] = String(stdout).split("\r\n\r\n");
  assertMatch(head, /^HTTP\/1\.1 400 /);
  assertMatch(head, /^content-type: text\/plain/im);
  assertEquals(body.trim() === "", false);
});
