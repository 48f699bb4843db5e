/**
 * Real clients that ask for http:// through an HTTP proxy: not by CONNECT, but in absolute form.
 *
 * @module
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { atLeast, type Hopline, hopline } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { must, run } from "../support/process.ts";
import { clone, repository } from "../support/repository.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
const secret = "alice:s3cret";
let open: Hopline;
let users: Hopline;
let tls: Hopline;
let behind: Hopline;
let web: WebOrigin;
let ca: string;

before(async () => {
  await repository(directory);
  const root = await authority(directory, "ca");
  ca = root.file;
  const { cert, key } = await root.issue("127.0.0.1");
  web = stack.use(await webOrigin({ files: directory.path }));
  open = stack.use(await hopline(["-L", "127.0.0.1:0"]));
  users = stack.use(await hopline(["-L", `${secret}@127.0.0.1:0`]));
  tls = stack.use(await hopline(["-L", `http+tls://127.0.0.1:0?cert=${cert}&key=${key}`]));
  behind = stack.use(await hopline(["-L", "127.0.0.1:0", "-F", `socks5://${open.address}`]));
});
after(() => stack.disposeAsync());

interface Row {
  readonly through?: () => Hopline;
  readonly method?: string;
  readonly user?: boolean;
  /** Asks and answers the blob's hash. */
  readonly ask: (at: string) => Promise<string>;
}

const hashed = async (...call: Parameters<typeof must>) => sha256((await must(...call)).stdout);
const curl = (...args: string[]) => (at: string) =>
  hashed("curl", ["-sSf", "-x", `http://${at}`, ...args, `${web.url}/blob`]);
const upload = (...args: string[]) => (at: string) =>
  hashed("curl", ["-sSf", "-x", `http://${at}`, ...args, `${web.url}/mirror`], { input: blob });

const rows: Record<string, Row> = {
  "curl": { ask: curl() },
  "curl, over a chain": { through: () => behind, ask: curl() },
  "curl --http1.0": { ask: curl("--http1.0") },
  "curl --proxy1.0": {
    ask: (at) => hashed("curl", ["-sSf", "--proxy1.0", at, `${web.url}/blob`]),
  },
  "curl, to a proxy inside TLS": {
    through: () => tls,
    ask: (at) => hashed("curl", ["-sSf", "-x", `https://${at}`, "--proxy-cacert", ca, `${web.url}/blob`]),
  },
  "curl with a user": { user: true, ask: curl("--proxy-user", secret) },
  "curl --proxy-anyauth": { user: true, ask: curl("--proxy-anyauth", "--proxy-user", secret) },
  "curl, a POST that expects 100": {
    method: "POST",
    ask: upload("--data-binary", "@-", "-H", "Expect: 100-continue"),
  },
  "curl -T, a body in chunks": { method: "PUT", ask: upload("-T", "-", "-H", "Expect:") },
  "curl -T, a body in chunks that expects 100": { method: "PUT", ask: upload("-T", "-") },
  "curl -T, with a user that it is asked for": {
    method: "POST",
    user: true,
    ask: upload("--data-binary", "@-", "--proxy-anyauth", "--proxy-user", secret),
  },
  "wget": { ask: (at) => wget(`http://${at}`) },
  "wget with a user": { user: true, ask: (at) => wget(`http://${secret}@${at}`) },
  "apt": { ask: (at) => apt(`http://${at}`) },
  "apt with a user": { user: true, ask: (at) => apt(`http://${secret}@${at}`) },
  "git": { ask: (at) => git(`http://${at}`) },
  "git with a user": { user: true, ask: (at) => git(`http://${secret}@${at}`) },
  "Python's urllib": { ask: (at) => urllib(`http://${at}`) },
  "Python's urllib with a user": { user: true, ask: (at) => urllib(`http://${secret}@${at}`) },
};

for (const [name, { through = () => open, method = "GET", user = false, ask }] of Object.entries(rows)) {
  test(name, async () => {
    const proxy = user ? users : through();
    const trail = proxy.trail();
    assertEquals(await ask(proxy.address), sha256(blob));
    const where = { target: web.address, protocol: "http", method, bytesDown: atLeast(blob.length) };
    const { user: who, status } = await trail.find("tunnel.closed", where);
    assertEquals([who, status], [user ? "alice" : undefined, 200]);
  });
}

test("curl reuses its connection to the proxy", async () => {
  const url = `${web.url}/headers`;
  const { stderr, stdout } = await must("curl", [
    "-sSv",
    "-x",
    `http://${open.address}`,
    url,
    url,
    url,
  ]);
  assertEquals(stderr.match(/Re-using existing connection/g)?.length, 2, stderr);
  assertMatch(String(stdout), /"via":"1\.1 hopline-/);
});

test("curl hears of a wrong password, and of a server that is not there", async () => {
  const status = ["-s", "-o", "/dev/null", "-w", "%{http_code}"];
  const wrong = await run("curl", [...status, "-x", `http://${users.address}`, "-U", "alice:no", web.url]);
  const gone = await run("curl", ["-sSi", "-x", `http://${open.address}`, "http://127.0.0.1:1/"]);
  assertEquals(String(wrong.stdout), "407");
  assertStringIncludes(String(gone.stdout), "error=connection_refused");
});

function wget(proxy: string): Promise<string> {
  const args = ["--no-config", "-q", "--tries=1", "-O", "-", `${web.url}/blob`];
  return hashed("wget", args, { env: { http_proxy: proxy } });
}

async function apt(proxy: string): Promise<string> {
  const file = directory.join(`apt-${crypto.randomUUID()}`);
  const settings = ["-o", `Acquire::http::Proxy=${proxy}`, "-o", "APT::Sandbox::User=root"];
  await must("apt-helper", [...settings, "download-file", `${web.url}/blob`, file]);
  return sha256(readFileSync(file));
}

function git(proxy: string): Promise<string> {
  return clone(directory, `${web.url}/files/project.git`, [`http.proxy=${proxy}`]);
}

async function urllib(proxy: string): Promise<string> {
  const program = `
import hashlib, sys, urllib.request as u
proxy, url = sys.argv[1:]
opener = u.build_opener(u.ProxyHandler({"http": proxy}))
print(hashlib.sha256(opener.open(url).read()).hexdigest())
`;
  const { stdout } = await must("python3", ["-c", program, proxy, `${web.url}/blob`]);
  return String(stdout).trim();
}
