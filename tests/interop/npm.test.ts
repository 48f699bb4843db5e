/**
 * npm installs a package and its dependency from a registry of the test's own, through every kind of proxy that it
 * takes.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { after, before, test } from "node:test";
import { authority, type Certificate } from "../support/certificates.ts";
import { atLeast, type Hopline, hopline } from "../support/hopline.ts";
import { blob, listen, sha256, type WebOrigin } from "../support/origins.ts";
import { must } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const secret = "alice:s3cret";
const packages = {
  "everything-to-carry": { dependencies: { "something-light": "1.0.0" } },
  "something-light": {},
};
let ca: string;
let open: Hopline;
let users: Hopline;
let plain: WebOrigin;
let secure: WebOrigin;

before(async () => {
  const root = await authority(directory, "ca");
  ca = root.file;
  const certificate = await root.issue("localhost", "127.0.0.1");
  const tarballs = new Map<string, Uint8Array>();
  for (const [name, more] of Object.entries(packages)) tarballs.set(name, await pack(name, more));
  plain = stack.use(await registry(tarballs));
  secure = stack.use(await registry(tarballs, certificate));
  const tls = `127.0.0.1:0?cert=${certificate.cert}&key=${certificate.key}`;
  open = stack.use(await hopline(["-L", tls]));
  users = stack.use(await hopline(["-L", `${secret}@${tls}`]));
});
after(() => stack.disposeAsync());

interface Row {
  readonly from: () => WebOrigin;
  /** The setting, in front of the proxy's address. */
  readonly proxy: string;
  readonly user?: boolean;
  readonly protocol: string;
  /** That of a request which isn't CONNECT. */
  readonly method?: string;
}

const http = () => plain;
const https = () => secure;

const rows: Record<string, Row> = {
  "proxy=http://": { from: http, proxy: "proxy=http://", protocol: "http", method: "GET" },
  "proxy=http:// with a user": {
    from: http,
    proxy: `proxy=http://${secret}@`,
    user: true,
    protocol: "http",
    method: "GET",
  },
  "https-proxy=http://": { from: https, proxy: "https-proxy=http://", protocol: "http" },
  "https-proxy=http:// with a user": {
    from: https,
    proxy: `https-proxy=http://${secret}@`,
    user: true,
    protocol: "http",
  },
  "https-proxy=https://": { from: https, proxy: "https-proxy=https://", protocol: "http" },
  "https-proxy=socks5h://": { from: https, proxy: "https-proxy=socks5h://", protocol: "socks5" },
  "https-proxy=socks5h:// with a user": {
    from: https,
    proxy: `https-proxy=socks5h://${secret}@`,
    user: true,
    protocol: "socks5",
  },
};

for (const [name, { from, proxy, user = false, protocol, method }] of Object.entries(rows)) {
  test(`npm install, ${name}`, async () => {
    const origin = from();
    const through = user ? users : open;
    const trail = through.trail();
    assertEquals(await install(origin, `--${proxy}${through.address}`), sha256(blob));
    const target = `localhost:${origin.port}`;
    // By all that it has to say: another line may be a late one about the test before.
    await trail.find("tunnel.closed", {
      target,
      bytesDown: atLeast(blob.length),
      protocol,
      user: user ? "alice" : undefined,
      method,
    });
    for (const line of trail.lines().filter(({ target }) => target)) assertEquals(line.target, target);
  });
}

/** Nothing that npm would ask for or look at by itself. */
const settings = [
  "--no-audit",
  "--no-fund",
  "--no-update-notifier",
  "--ignore-scripts",
  "--globalconfig=/dev/null",
];

/** Installs into a project of its own and answers the hash of the blob that arrived. */
async function install(origin: WebOrigin, proxy: string): Promise<string> {
  const project = directory.join(crypto.randomUUID());
  mkdirSync(project);
  // By name: what it means is the proxy's to find out.
  const registry = `--registry=${origin.url.replace("127.0.0.1", "localhost")}`;
  const own = [`--cafile=${ca}`, `--cache=${project}/cache`, `--prefix=${project}`];
  await must("npm", ["install", "everything-to-carry", ...settings, registry, proxy, ...own], {
    cwd: project,
    env: { HOME: project },
  });
  const file = (name: string) => readFileSync(`${project}/node_modules/${name}`);
  assert(file("something-light/package.json").length > 0);
  return sha256(file("everything-to-carry/blob"));
}

/** A package as npm makes it. */
async function pack(name: string, more: object): Promise<Uint8Array> {
  const cwd = directory.join(name);
  mkdirSync(cwd);
  directory.write(`${name}/package.json`, JSON.stringify({ name, version: "1.0.0", ...more }));
  directory.write(`${name}/blob`, blob);
  const options = { cwd, env: { HOME: directory.path } };
  const { stdout } = await must("npm", ["pack", "--silent", ...settings], options);
  return readFileSync(`${cwd}/${String(stdout).trim()}`);
}

/** What npm asks of a registry: a document for each package, and its tarball. */
async function registry(tarballs: ReadonlyMap<string, Uint8Array>, tls?: Certificate): Promise<WebOrigin> {
  const answer: RequestListener = (request, response) => {
    const [name = "", tarball] = (request.url ?? "").slice(1).split("/-/");
    const bytes = tarballs.get(name);
    if (!bytes) {
      response.statusCode = 404;
      return response.end("{}");
    }
    if (tarball) return response.end(bytes);
    const dist = {
      tarball: `${tls ? "https" : "http"}://${request.headers.host}/${name}/-/${name}-1.0.0.tgz`,
      integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}`,
    };
    const version = { name, version: "1.0.0", dist, ...packages[name as keyof typeof packages] };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ name, "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": version } }));
  };
  const server = tls
    ? createHttpsServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, answer)
    : createHttpServer(answer);
  const origin = await listen(server, "127.0.0.1");
  return { ...origin, url: `${tls ? "https" : "http"}://${origin.address}` };
}
