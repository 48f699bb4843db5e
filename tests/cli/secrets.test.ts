/**
 * No secret and no control character ever reaches the output: passwords from URLs, files, the environment and the
 * configuration, right ones and wrong ones, and user names that are made to write to a terminal.
 *
 * @module
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import { after, before, test } from "node:test";
import { echoOrigin, type Origin } from "../support/origins.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { http, socks5 } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { endpoint, type Program, program } from "./program.ts";

/** Every secret of these tests holds it. */
const mark = "s3cr3t";
const secrets = {
  listener: `${mark}-listener`,
  user: `${mark}-user`,
  file: `${mark}-file`,
  environment: `${mark}-environment`,
  url: `${mark}-url`,
  guess: `${mark}-guess`,
};

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let echo: Origin;
before(async () => {
  echo = stack.use(await echoOrigin());
});
after(() => stack.disposeAsync());

/** Nothing that was written is secret, none of it moves a cursor. */
function assertHarmless(output: string): void {
  assertNotEquals(output, "");
  for (const form of [mark, btoa(`alice:${mark}`).slice(0, 12), encodeURIComponent(mark)]) {
    assertEquals(output.includes(form), false, output);
  }
  // deno-lint-ignore no-control-regex -- what must not be there
  assertEquals(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]/.test(output), false, JSON.stringify(output));
}

const names = [
  "alice",
  "eve\x1b[31m\x1b]0;x\x07",
  "m\r\nlevel=info event=forged",
  "u\u2028v\x9bw\u202e",
  "\0",
  `"\\`,
];

/** Logs in rightly and wrongly, in both protocols, and asks for what works and what fails. */
async function drive(proxy: Program, addresses: readonly string[]): Promise<void> {
  const right = { username: "alice", password: secrets.user };
  const wrong = names.map((username) => ({ username, password: secrets.guess }));
  for (const address of addresses) {
    for (const target of [echo, { hostname: "127.0.0.1", port: await freePort() }]) {
      for (const credentials of [right, ...wrong]) {
        using five = await Wire.to(endpoint(address));
        five.send(socks5.ask(target, credentials), "GET / HTTP/1.0\r\n\r\n");
        five.end();
        await five.ending();
        if (/[^\x20-\x7e]/.test(credentials.username)) continue;
        using web = await Wire.to(endpoint(address));
        web.send(http.ask(target, credentials));
        web.end();
        await web.ending();
        assertEquals(new TextDecoder().decode(web.received).includes(mark), false);
      }
    }
  }
  using odd = await Wire.to(endpoint(addresses[0]));
  odd.send(`\x00${mark}\x1b[2J`);
  await odd.ending();
  const basic = btoa(`alice:${mark}`);
  for (
    const malformed of [
      `CONNECT a.test:1 HTTP/1.1\r\nProxy-Authorization : Basic ${basic}`,
      `CONNECT a.test:1 HTTP/1.1\r\nProxy-Authorization: Basic ${basic}\x01`,
      `CONNECT a.test:1 HTTP/1.1\r\nProxy-Authorization:\r\n Basic ${basic}`,
      `CONNECT alice:${mark}@a.test:1 HTTP/1.1`,
      `GET http://alice:${mark}@a test/ HTTP/1.1`,
      `GET http://alice:${mark}@a%test/ HTTP/1.1`,
    ]
  ) {
    using wire = await Wire.to(endpoint(addresses[0]));
    wire.send(`${malformed}\r\n\r\n`);
    await wire.ending();
    assertHarmless(new TextDecoder().decode(wire.received).replaceAll("\r\n", "\n"));
  }
  proxy.signal("SIGHUP");
  await proxy.said(/config\.(reloaded|refused)/);
}

const configuration = (relay: string) => ({
  listeners: [
    { address: "127.0.0.1:0", users: [{ username: "alice", password: secrets.user }] },
    { address: "127.0.0.1:0", users: [{ username: "alice", password: { file: "user.secret" } }] },
  ],
  hops: {
    first: { protocol: "socks5", address: relay, username: "alice", password: { file: "hop.secret" } },
    second: `http://alice:\${HOPLINE_TEST_SECRET}@${relay}`,
  },
  chains: { out: ["first", "second", `socks5://alice:${secrets.url}@${relay}`] },
});

for (const format of ["text", "json"]) {
  test(`as ${format}: passwords in a file, its secrets, the environment and hops that refuse them`, async () => {
    await using relay = program(["-L", `alice:${secrets.listener}@127.0.0.1:0`, "--log-format", format]);
    directory.write("user.secret", `${secrets.user}\n`);
    directory.write("hop.secret", `${secrets.file}\n`);
    const path = directory.write("secrets.json", JSON.stringify(configuration(await relay.address())));
    const env = { HOPLINE_TEST_SECRET: secrets.environment };
    const options = ["--log-level", "debug", "--log-format", format];
    await using proxy = program(["-c", path, ...options], { env });
    await drive(proxy, [await proxy.address(), await proxy.address(1)]);
    // A reload that finds a mistake beside a secret says what, and not the secret.
    directory.write(
      "secrets.json",
      `{ "chains": { "out": ["socks6://alice:${secrets.url}@x", "alice:${mark}@x"] } }`,
    );
    proxy.signal("SIGHUP");
    await proxy.said(/config\.refused/);
    proxy.signal("SIGTERM");
    await proxy.exited;
    assertHarmless(proxy.output());
    assertHarmless(relay.output());
  });
}

test("passwords in the URLs of -L and -F, with hops that accept and hops that refuse them", async () => {
  const credentials = `alice:${secrets.user}`;
  await using relay = program(["-L", `${credentials}@127.0.0.1:0`, "--log-level", "debug"]);
  const address = await relay.address();
  for (const password of [secrets.user, secrets.guess]) {
    for (const scheme of ["socks5", "http"]) {
      const hop = `${scheme}://alice:${password}@${address}`;
      await using proxy = program(["-L", `${credentials}@127.0.0.1:0`, "-F", hop, "--log-level", "debug"]);
      await drive(proxy, [await proxy.address()]);
      proxy.signal("SIGTERM");
      await proxy.exited;
      assertHarmless(proxy.output());
    }
  }
  assertHarmless(relay.output());
});
