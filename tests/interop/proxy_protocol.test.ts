/**
 * The PROXY protocol with HAProxy and stunnel in front, and HAProxy behind.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { haproxyAnswering, haproxyTo } from "../support/haproxy.ts";
import { atLeast, configured, type Hopline, hopline } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { eventually, must, run } from "../support/process.ts";
import { stunnel } from "../support/stunnel.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { rest } from "../support/traffic.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let web: WebOrigin;
let issuer: Authority;
let certificate: Certificate;
/** The same with its key in one file, as HAProxy wants it. */
let bundle: string;
/** Requires the header. */
let trusting: Hopline;
before(async () => {
  issuer = await authority(directory, "proxied");
  certificate = await issuer.issue("localhost", "127.0.0.1");
  bundle = directory.write(
    "bundle.pem",
    readFileSync(certificate.cert, "utf8") + readFileSync(certificate.key),
  );
  web = stack.use(await webOrigin());
  trusting = stack.use(
    await hopline(["-L", "127.0.0.1:0?proxy-protocol=127.0.0.1,::1", "--log-level", "debug"]),
  );
});
after(() => stack.disposeAsync());

/** Fetches the blob through a proxy, and tells curl's own end of the connection. */
async function fetchBlob(proxy: string, ...more: string[]): Promise<string> {
  const format = ["-w", "%{stderr}%{local_ip}:%{local_port}"];
  const { stdout, stderr } = await must("curl", [
    "-s",
    ...more,
    ...format,
    "--proxy",
    proxy,
    `${web.url}/blob`,
  ]);
  assertEquals(sha256(stdout), sha256(blob));
  return stderr;
}

const sent: Record<string, string> = {
  "send-proxy": "send-proxy",
  "send-proxy-v2": "send-proxy-v2",
  "send-proxy-v2 with a checksum and a unique id": "send-proxy-v2 proxy-v2-options crc32c,unique-id",
};

for (const [name, options] of Object.entries(sent)) {
  test(`HAProxy in front with ${name}: the log names HAProxy's client`, async () => {
    await using front = await haproxyTo(trusting.address, options);
    for (const scheme of ["socks5h", "http"]) {
      const trail = trusting.trail();
      const client = await fetchBlob(`${scheme}://${front.address}`, "--proxytunnel");
      await trail.find("tunnel.closed", { client, bytesDown: atLeast(blob.length) });
    }
  });
}

for (const options of ["send-proxy check", "send-proxy-v2 check", "send-proxy-v2 check-send-proxy check"]) {
  test(`HAProxy's health checks with ${options} find the listener up, and are no failures`, async () => {
    await using front = await haproxyTo(trusting.address, `${options} inter 50ms fall 1 rise 1`);
    const warnings = () => trusting.output().split('"level":"warn"').length;
    const before = warnings();
    // A good many checks; each ends in a reset.
    await rest(1000);
    await fetchBlob(`socks5h://${front.address}`);
    assertEquals(/is DOWN/.test(front.journal()), false, front.journal());
    assertEquals(warnings(), before);
  });
}

test("HAProxy in front of a listener that does not trust it gets nowhere", async () => {
  await using strict = await hopline(["-L", "127.0.0.1:0?proxy-protocol=192.0.2.0/24"]);
  await using front = await haproxyTo(strict.address, "send-proxy");
  const { code } = await run("curl", ["-s", "--proxy", `socks5h://${front.address}`, `${web.url}/blob`]);
  assertEquals(code === 0, false);
  await eventually("the refusal", () => strict.output().includes('"code":"denied"') || undefined);
});

test("stunnel in front with protocol = proxy: the log names stunnel's client", async () => {
  await using front = await stunnel({ to: trusting.address, certificate, proxyProtocol: true });
  const trail = trusting.trail();
  const client = await fetchBlob(`https://${front.address}`, "--proxytunnel", "--proxy-cacert", issuer.file);
  await trail.find("tunnel.closed", { client });
});

test("curl's own header is taken", async () => {
  await using house = await hopline(["-L", `tcp://127.0.0.1:0/${web.address}?proxy-protocol=127.0.0.1`]);
  const trail = house.trail();
  const { body, ends } = await fetched(`http://${house.address}/blob`, "--haproxy-protocol");
  assertEquals(sha256(body), sha256(blob));
  await trail.find("tunnel.closed", { client: ends.replace(" ", ":") });
});

/** Fetches without a proxy; `ends` is curl's address and port. */
async function fetched(url: string, ...more: string[]) {
  const format = ["-w", "%{stderr}%{local_ip} %{local_port}"];
  const { stdout, stderr } = await must("curl", ["-s", ...more, ...format, "--cacert", issuer.file, url]);
  return { body: stdout, ends: stderr };
}

const uniqueId = /id=[0-9a-f-]{36}-\d+$/;

for (const proxyProtocol of [1, 2] as const) {
  test(`HAProxy behind a port forward is told of the client in version ${proxyProtocol}`, async () => {
    await using behind = await haproxyAnswering();
    const target = { address: behind.address, proxyProtocol };
    await using house = await hopline(
      configured(directory, { listeners: [{ address: "127.0.0.1:0", target }] }),
    );
    const { body, ends } = await fetched(`http://${house.address}/`);
    const said = body.toString();
    assertEquals(said.split(" authority")[0], `${ends} ${house.address.replace(":", " ")}`);
    if (proxyProtocol === 2) assertMatch(said, uniqueId);
  });

  test(`HAProxy behind TLS that is terminated and added again is told in version ${proxyProtocol}`, async () => {
    await using behind = await haproxyAnswering(`ssl crt ${bundle}`);
    const tls = { certificate: certificate.cert, key: certificate.key };
    const target = {
      address: behind.address,
      proxyProtocol,
      tls: { ca: issuer.file, serverName: "localhost" },
    };
    const listeners = [{ address: "127.0.0.1:0", tls, target }];
    await using house = await hopline(configured(directory, { listeners }));
    const { body, ends } = await fetched(`https://localhost:${house.address.split(":")[1]}/`, "-4");
    const said = body.toString();
    assertEquals(said.split(" authority")[0], `${ends} ${house.address.replace(":", " ")}`);
    if (proxyProtocol === 2) {
      assertMatch(said, /authority=localhost /);
      assertMatch(said, uniqueId);
    }
  });

  test(`TLS that is passed on by name reaches HAProxy with the header in version ${proxyProtocol}`, async () => {
    await using behind = await haproxyAnswering(`ssl crt ${bundle}`);
    const sni = { port: behind.port, proxyProtocol };
    await using house = await hopline(
      configured(directory, { listeners: [{ address: "127.0.0.1:0", sni }] }),
    );
    const { body, ends } = await fetched(`https://localhost:${house.address.split(":")[1]}/`, "-4");
    assertEquals(body.toString().split(" authority")[0], `${ends} ${house.address.replace(":", " ")}`);
  });

  test(`a hop behind HAProxy is told in version ${proxyProtocol}, and so is the next`, async () => {
    await using middle = await haproxyTo(trusting.address, "send-proxy-v2", "accept-proxy");
    const hop = `socks5://${middle.address}?proxy-protocol=${proxyProtocol}`;
    await using house = await hopline(["-L", "127.0.0.1:0", "-F", hop]);
    const trail = trusting.trail();
    const client = await fetchBlob(`socks5h://${house.address}`);
    await trail.find("tunnel.closed", { client });
  });
}
