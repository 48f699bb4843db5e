/**
 * Chromium loads a page with everything that a page can have, through one port and every scheme of a proxy that it
 * knows.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, test } from "node:test";
import { authority, type Certificate, pin } from "../support/certificates.ts";
import { type Chromium, chromium } from "../support/chromium.ts";
import { atLeast, type Hopline, hopline, type Trail } from "../support/hopline.ts";
import { blob } from "../support/origins.ts";
import { page, wanted, whole } from "../support/page.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const alice = { username: "alice", password: "s3cret" };
let certificate: Certificate;
let open: Hopline;
let users: Hopline;
let behind: Hopline;
let browser: Chromium;
let trails: Trail[];

before(async () => {
  const root = await authority(directory, "ca");
  certificate = await root.issue("localhost", "127.0.0.1");
  const tls = `127.0.0.1:0?cert=${certificate.cert}&key=${certificate.key}`;
  open = stack.use(await hopline(["-L", tls]));
  users = stack.use(await hopline(["-L", `${alice.username}:${alice.password}@${tls}`]));
  const hop = `h2://${alice.username}:${alice.password}@${users.address}?ca=${root.file}`;
  behind = stack.use(await hopline(["-L", tls, "-F", hop]));
  browser = stack.use(await chromium(await pin(certificate)));
  trails = [open, users, behind].map((proxy) => proxy.trail());
});
after(() => stack.disposeAsync());

/** A way to load the page. */
interface Row {
  readonly scheme: "socks5" | "http" | "https";
  /** The listener, when it isn't the one for everybody. */
  readonly through?: () => Hopline;
  readonly user?: typeof alice;
}

const rows: Record<string, Row> = {
  "socks5://": { scheme: "socks5" },
  "http://": { scheme: "http" },
  "http:// with a user": { scheme: "http", through: () => users, user: alice },
  "https://": { scheme: "https" },
  "https:// with a user": { scheme: "https", through: () => users, user: alice },
  "https://, over a chain": { scheme: "https", through: () => behind },
};

/** What the log has to tell of each scheme. */
const protocols = { socks5: "socks5", http: "http", https: "h2" } as const;

/** By which protocol each target has to be asked for, and how that ends. */
const expected = new Map<string, readonly [protocol: string, event: string]>();

for (const [name, { scheme, through = () => open, user }] of Object.entries(rows)) {
  for (const kind of ["http", "https"]) {
    test(`an ${kind} page through ${name}`, async () => {
      await using site = await page(kind === "https" ? certificate : undefined);
      const proxy = through();
      const trail = proxy.trail();
      // By name: what it means is the proxy's to find out.
      const target = `localhost:${site.port}`;
      const protocol = protocols[scheme];
      expected.set(target, [protocol, "tunnel.closed"]);
      assertEquals(await browser.visit(`${kind}://${target}`, `${scheme}://${proxy.address}`, user), whole);
      assertEquals(site.asked(), wanted);
      const large = await trail.find("tunnel.closed", { target, bytesDown: atLeast(blob.length) });
      assertEquals([large.protocol, large.user], [protocol, user?.username]);
    });
  }
}

for (const [scheme, protocol] of Object.entries(protocols)) {
  test(`a page that is not there, through ${scheme}://`, async () => {
    const target = `localhost:${await freePort()}`;
    expected.set(target, [protocol, "tunnel.failed"]);
    const visit = () => browser.visit(`https://${target}`, `${scheme}://${open.address}`);
    await assertRejects(visit, Error, scheme === "socks5" ? "ERR_SOCKS" : "ERR_TUNNEL_CONNECTION_FAILED");
  });
}

test("the browser asked for nothing else, and all of a page's on one HTTP/2 connection", async () => {
  for (const proxy of [behind, open, users]) assertEquals(await proxy.stop(), 0);
  const lines = trails.flatMap((trail) => trail.lines()).filter(({ event }) => event.startsWith("tunnel."));
  // Where a user is asked for, the first requests have none; what they were for is not looked at.
  const asked = lines.filter(({ error }) => error?.stage !== "auth");
  for (const line of asked) {
    assertEquals([line.protocol, line.event], expected.get(line.target), JSON.stringify(line));
  }
  for (const [target, [protocol, event]] of expected) {
    const tunnels = asked.filter((line) => line.target === target);
    const clients = new Set(tunnels.map(({ client }) => client));
    // The chain's second Hopline has a listener of its own.
    const listeners = new Set(tunnels.map(({ listener }) => listener));
    if (event === "tunnel.closed") assert(tunnels.length > 2, `${tunnels.length} tunnels to a page`);
    if (protocol === "h2") assertEquals(clients.size, listeners.size, target);
  }
});
