/**
 * The other clients that have to work: git over HTTP, wget, apt, openssl, Python, proxychains and HAProxy. Each
 * fetches the same MiB, and the log has to show that it came through the listener.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { atLeast, type Hopline, hopline } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { must, start } from "../support/process.ts";
import { clone, repository } from "../support/repository.ts";
import { served } from "../support/served.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const alice = { username: "alice", password: "s3cret" };
const secret = `${alice.username}:${alice.password}`;
let proxy: Hopline;
let users: Hopline;
let web: WebOrigin;
let secure: WebOrigin;
let ca: string;

before(async () => {
  await repository(directory);
  const root = await authority(directory, "ca");
  ca = root.file;
  web = stack.use(await webOrigin({ files: directory.path }));
  secure = stack.use(
    await webOrigin({ files: directory.path, tls: await root.issue("localhost", "127.0.0.1") }),
  );
  proxy = stack.use(await hopline(["-L", "127.0.0.1:0"]));
  users = stack.use(await hopline(["-L", `${secret}@127.0.0.1:0`]));
});
after(() => stack.disposeAsync());

/** A client: fetches the blob and answers its hash. */
interface Row {
  readonly protocol: string;
  readonly to: () => WebOrigin;
  /** Whether it goes to the listener that asks for a user. */
  readonly user?: boolean;
  readonly fetch: (at: string) => Promise<string>;
}

const toWeb = () => web;
const toSecure = () => secure;
const hashed = async (...call: Parameters<typeof must>) => sha256((await must(...call)).stdout);
const repositoryOf = (origin: WebOrigin) => `${origin.url}/files/project.git`;

const rows: Record<string, Row> = {
  "git, http.proxy=socks5h://": {
    protocol: "socks5",
    to: toWeb,
    fetch: (at) => clone(directory, repositoryOf(web), [`http.proxy=socks5h://${at}`]),
  },
  "git, http.proxy=http:// to https": {
    protocol: "http",
    to: toSecure,
    fetch: (at) =>
      clone(directory, repositoryOf(secure), [`http.proxy=http://${at}`, `http.sslCAInfo=${ca}`]),
  },
  "git, http.proxy with a user": {
    protocol: "http",
    to: toSecure,
    user: true,
    fetch: (at) =>
      clone(directory, repositoryOf(secure), [`http.proxy=http://${secret}@${at}`, `http.sslCAInfo=${ca}`]),
  },
  "wget, https_proxy": {
    protocol: "http",
    to: toSecure,
    fetch: (at) => wget({ https_proxy: `http://${at}` }),
  },
  "wget, https_proxy with a user": {
    protocol: "http",
    to: toSecure,
    user: true,
    fetch: (at) => wget({ https_proxy: `http://${secret}@${at}` }),
  },
  "apt, Acquire::http::Proxy=socks5h://": {
    protocol: "socks5",
    to: toWeb,
    fetch: (at) => apt(web, `Acquire::http::Proxy=socks5h://${at}`),
  },
  "apt, Acquire::https::Proxy with a user": {
    protocol: "http",
    to: toSecure,
    user: true,
    fetch: (at) =>
      apt(secure, `Acquire::https::Proxy=http://${secret}@${at}`, `Acquire::https::CaInfo=${ca}`),
  },
  "openssl s_client -proxy": {
    protocol: "http",
    to: toSecure,
    fetch: (at) => sClient(["-proxy", at]),
  },
  "openssl s_client -proxy with a user": {
    protocol: "http",
    to: toSecure,
    user: true,
    fetch: (at) =>
      sClient(["-proxy", at, "-proxy_user", alice.username, "-proxy_pass", `pass:${alice.password}`]),
  },
  "Python's urllib": {
    protocol: "http",
    to: toSecure,
    fetch: (at) => urllib(`http://${at}`),
  },
  "Python's urllib with a user": {
    protocol: "http",
    to: toSecure,
    user: true,
    fetch: (at) => urllib(`http://${secret}@${at}`),
  },
  "proxychains4, socks4": { protocol: "socks4", to: toWeb, fetch: (at) => proxychains("socks4", at) },
  "proxychains4, socks5": { protocol: "socks5", to: toWeb, fetch: (at) => proxychains("socks5", at) },
  "proxychains4, socks5 with a user": {
    protocol: "socks5",
    to: toWeb,
    user: true,
    fetch: (at) => proxychains("socks5", at, `${alice.username} ${alice.password}`),
  },
  "proxychains4, http": { protocol: "http", to: toWeb, fetch: (at) => proxychains("http", at) },
  "proxychains4, http with a user": {
    protocol: "http",
    to: toWeb,
    user: true,
    fetch: (at) => proxychains("http", at, `${alice.username} ${alice.password}`),
  },
  "HAProxy, server … socks4": { protocol: "socks4", to: toWeb, fetch: haproxy },
};

for (const [name, { protocol, to, user = false, fetch }] of Object.entries(rows)) {
  test(name, async () => {
    const through = user ? users : proxy;
    const trail = through.trail();
    assertEquals(await fetch(through.address), sha256(blob));
    const where = { target: to().address, protocol, bytesDown: atLeast(blob.length) };
    const closed = await trail.find("tunnel.closed", where);
    assertEquals(closed.user, user ? alice.username : undefined);
  });
}

function wget(env: Record<string, string>): Promise<string> {
  const args = ["--no-config", "-q", "--tries=1", `--ca-certificate=${ca}`, "-O", "-", `${secure.url}/blob`];
  return hashed("wget", args, { env });
}

async function apt(origin: WebOrigin, ...settings: string[]): Promise<string> {
  const file = directory.join(`apt-${crypto.randomUUID()}`);
  const chosen = settings.flatMap((setting) => ["-o", setting]);
  await must("apt-helper", [
    ...chosen,
    "-o",
    "APT::Sandbox::User=root",
    "download-file",
    `${origin.url}/blob`,
    file,
  ]);
  return sha256(readFileSync(file));
}

async function sClient(args: string[]): Promise<string> {
  const trust = ["-CAfile", ca, "-verify_return_error", "-quiet"];
  const request = "GET /blob HTTP/1.0\r\n\r\n";
  const { stdout } = await must("openssl", ["s_client", ...args, "-connect", secure.address, ...trust], {
    input: request,
  });
  return sha256(stdout.subarray(stdout.indexOf("\r\n\r\n") + 4));
}

async function urllib(address: string): Promise<string> {
  const program = `
import hashlib, ssl, sys, urllib.request as u
proxy, url, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
opener = u.build_opener(u.ProxyHandler({"https": proxy}), u.HTTPSHandler(context=context))
print(hashlib.sha256(opener.open(url).read()).hexdigest())
`;
  const { stdout } = await must("python3", ["-c", program, address, `${secure.url}/blob`, ca]);
  return String(stdout).trim();
}

function proxychains(type: string, at: string, more = ""): Promise<string> {
  const list = `[ProxyList]\n${type} ${at.replace(":", " ")} ${more}\n`;
  const file = directory.write(`proxychains-${crypto.randomUUID()}`, `strict_chain\nquiet_mode\n${list}`);
  return hashed("proxychains4", ["-q", "-f", file, "curl", "-sS", `${web.url}/blob`]);
}

async function haproxy(at: string): Promise<string> {
  const port = await freePort();
  const file = directory.write(
    "haproxy.cfg",
    `defaults
  mode tcp
  timeout connect 10s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:${port}
  server origin ${web.address} socks4 ${at}
`,
  );
  await using front = await served({ daemon: start("haproxy", ["-db", "-f", file]), port });
  return await hashed("curl", ["-sS", `http://${front.address}/blob`]);
}
