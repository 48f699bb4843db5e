/**
 * Transparent proxying: in a network of its own, whatever a user connects to is redirected to redsocks, which asks
 * Hopline for it. The user's program knows of no proxy.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { after, before, test } from "node:test";
import { atLeast, type Hopline, hopline } from "../support/hopline.ts";
import { type Namespace, namespace } from "../support/namespace.ts";
import { blob, sha256 } from "../support/origins.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const secret = { login: "alice", password: "s3cret" };
/** The user whose connections are redirected: Hopline's own, by another user, are not. */
const nobody = 65534;
let network: Namespace;
let proxy: Hopline;

interface Row {
  /** A kind of proxy that redsocks knows. */
  readonly type: string;
  readonly protocol: string;
  readonly user?: boolean;
  /** That of a request which isn't CONNECT. */
  readonly method?: string;
}

const rows: readonly Row[] = [
  { type: "socks4", protocol: "socks4" },
  { type: "socks5", protocol: "socks5" },
  { type: "socks5", protocol: "socks5", user: true },
  { type: "http-connect", protocol: "http" },
  { type: "http-connect", protocol: "http", user: true },
  { type: "http-relay", protocol: "http", method: "GET" },
];

/** Each row has a server's address of its own, out of those that are for documentation. */
const address = (row: number) => `198.51.100.${row + 1}`;
/** And a port on which redsocks takes what is redirected. */
const port = (row: number) => 12_000 + row;

before(async () => {
  network = stack.use(await namespace(...rows.map((_, i) => address(i))));
  const listeners = ["-L", "127.0.0.1:0", "-L", `${secret.login}:${secret.password}@127.0.0.1:0`];
  proxy = stack.use(await hopline(listeners, 2, undefined, network.enter));
  directory.write("blob", blob);
  const web = ["-u", "-m", "http.server", "80", "--directory", directory.path];
  stack.use(await network.start("python3", web, /Serving HTTP/));
  const redsocks = ["-c", directory.write("redsocks.conf", configuration())];
  stack.use(await network.start("redsocks", redsocks, /redsocks started/));
  await network.must("nft", ["-f", "-"], rules());
});
after(() => stack.disposeAsync());

for (const [i, { type, protocol, user = false, method }] of rows.entries()) {
  test(`redsocks, type = ${type}${user ? " with a user" : ""}`, async () => {
    const trail = proxy.trail();
    const as = ["--reuid", String(nobody), "--clear-groups"];
    const curl = ["curl", "-sSf", `http://${address(i)}/blob`];
    const { stdout } = await network.must("setpriv", [...as, ...curl]);
    assertEquals(sha256(stdout), sha256(blob));
    const where = { target: `${address(i)}:80`, protocol, bytesDown: atLeast(blob.length) };
    const closed = await trail.find("tunnel.closed", where);
    assertEquals([closed.user, closed.method], [user ? secret.login : undefined, method]);
  });
}

function configuration(): string {
  const sections = rows.map(({ type, user }, i) => {
    const [ip, at] = proxy.addresses[user ? 1 : 0].split(":");
    const own = { local_port: port(i), ip, port: at, type, ...(user ? secret : {}) };
    return section("redsocks", own);
  });
  return [section("base", { log: "stderr", daemon: "off", redirector: "iptables" }), ...sections].join("");
}

/** One setting on a line, as redsocks reads them. */
function section(name: string, settings: object): string {
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value};\n`);
  return `${name} {\n${lines.join("")}}\n`;
}

function rules(): string {
  const redirections = rows.map((_, i) =>
    `meta skuid ${nobody} ip daddr ${address(i)} tcp dport 80 redirect to :${port(i)}`
  );
  const chain = ["type nat hook output priority -100", ...redirections].join("\n");
  return `table ip way {\nchain output {\n${chain}\n}\n}\n`;
}
