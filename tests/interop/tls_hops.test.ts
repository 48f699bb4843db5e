/**
 * Hops inside TLS, with stunnel in front of the real servers: every way to trust a certificate, and every way
 * for that to fail before a byte of the proxy protocol is sent.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { after, before, test } from "node:test";
import { authority, pin } from "../support/certificates.ts";
import { fetchThrough } from "../support/fetch.ts";
import { atLeast, hopline } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { danted, microsocks, type Peer, squid, tinyproxy } from "../support/peers.ts";
import type { Served } from "../support/served.ts";
import { stunnel } from "../support/stunnel.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let web: WebOrigin;
let behind: Record<"danted" | "microsocks" | "squid" | "tinyproxy", Peer>;
/** `named` has a certificate for relay.test alone, `mutual` asks for one of the client's. */
let front: Record<"danted" | "microsocks" | "named" | "mutual" | "squid" | "tinyproxy", Served>;
/** Query options by their use. */
let trust: Record<"ca" | "otherCa" | "pin" | "otherPin" | "client" | "stranger", string>;

before(async () => {
  const [ca, other] = [await authority(directory, "ca"), await authority(directory, "other")];
  const certificate = await ca.issue("localhost", "127.0.0.1");
  const named = await ca.issue("relay.test");
  const [client, stranger] = [await ca.issue("guest"), await other.issue("stranger")];
  web = stack.use(await webOrigin());
  behind = {
    danted: stack.use(await danted()),
    microsocks: stack.use(await microsocks()),
    squid: stack.use(await squid({ ports: [web.port] })),
    tinyproxy: stack.use(await tinyproxy()),
  };
  const open = async (to: Peer, more = {}) =>
    stack.use(await stunnel({ to: to.address, certificate, ...more }));
  front = {
    danted: await open(behind.danted),
    microsocks: await open(behind.microsocks),
    named: await open(behind.microsocks, { certificate: named }),
    mutual: await open(behind.microsocks, { clientCa: ca.file }),
    squid: await open(behind.squid),
    tinyproxy: await open(behind.tinyproxy),
  };
  trust = {
    ca: `ca=${ca.file}`,
    otherCa: `ca=${other.file}`,
    pin: `pin=${encodeURIComponent(await pin(certificate))}`,
    otherPin: `pin=${encodeURIComponent(await pin(named))}`,
    client: `cert=${client.cert}&key=${client.key}`,
    stranger: `cert=${stranger.cert}&key=${stranger.key}`,
  };
});
after(() => stack.disposeAsync());

const works: Record<string, () => string[]> = {
  "socks5+tls, ca": () => [`socks5+tls://${front.microsocks.address}?${trust.ca}`],
  "socks5+tls by name, ca": () => [`socks5+tls://localhost:${front.danted.port}?${trust.ca}`],
  "socks5+tls, ca and sni": () => [`socks5+tls://${front.named.address}?${trust.ca}&sni=relay.test`],
  "socks5+tls, ca and pin": () => [`socks5+tls://${front.microsocks.address}?${trust.ca}&${trust.pin}`],
  "socks5+tls, insecure": () => [`socks5+tls://${front.microsocks.address}?insecure=true`],
  "socks5+tls, client certificate": () => [
    `socks5+tls://${front.mutual.address}?${trust.ca}&${trust.client}`,
  ],
  "socks4+tls": () => [`socks4+tls://${front.danted.address}?${trust.ca}`],
  "http+tls before squid": () => [`http+tls://${front.squid.address}?${trust.ca}`],
  "https before tinyproxy": () => [`https://${front.tinyproxy.address}?${trust.ca}`],
  "TLS inside TLS": () => [
    `https://${front.tinyproxy.address}?${trust.ca}`,
    `socks5+tls://${front.danted.address}?${trust.ca}`,
  ],
  "TLS inside TLS inside TLS, each with its own trust": () => [
    `https://${front.tinyproxy.address}?${trust.ca}&${trust.pin}`,
    `socks5+tls://${front.named.address}?${trust.ca}&sni=relay.test`,
    `socks5+tls://${front.mutual.address}?insecure=true&${trust.client}`,
  ],
};

for (const [name, hops] of Object.entries(works)) {
  test(name, async () => {
    await using proxy = await hopline(["-L", "127.0.0.1:0", ...hops().flatMap((hop) => ["-F", hop])]);
    const trail = proxy.trail();
    for (const protocol of ["socks5", "http"] as const) {
      const { code, stdout, stderr } = await fetchThrough(protocol, proxy.address, `${web.url}/blob`);
      assertEquals(code, 0, stderr + proxy.output());
      assertEquals(sha256(stdout), sha256(blob));
      const where = { target: web.address, protocol, bytesDown: atLeast(blob.length) };
      assertEquals((await trail.find("tunnel.closed", where)).via.length, hops().length);
    }
    assertEquals(await proxy.stop(), 0, proxy.output());
  });
}

/** Chains that must fail at TLS, and the hop at which they do. */
const fails: Record<string, [hop: number, hops: () => string[]]> = {
  "no authority is known": [1, () => [`socks5+tls://${front.microsocks.address}`]],
  "the authority is another": [1, () => [`socks5+tls://${front.microsocks.address}?${trust.otherCa}`]],
  "the certificate is for another name": [1, () => [`socks5+tls://${front.named.address}?${trust.ca}`]],
  "sni asks for a name that the certificate lacks": [
    1,
    () => [`socks5+tls://${front.microsocks.address}?${trust.ca}&sni=relay.test`],
  ],
  "the pin is another": [1, () => [`socks5+tls://${front.microsocks.address}?${trust.ca}&${trust.otherPin}`]],
  "the hop speaks no TLS": [1, () => [`socks5+tls://${behind.microsocks.address}?insecure=true`]],
  "only the first hop is insecure": [2, () => [
    `https://${front.tinyproxy.address}?insecure=true`,
    `socks5+tls://${front.danted.address}`,
  ]],
  "the second hop's authority is another": [2, () => [
    `https://${front.tinyproxy.address}?${trust.ca}`,
    `socks5+tls://${front.danted.address}?${trust.otherCa}`,
  ]],
};

for (const [name, [hop, hops]] of Object.entries(fails)) {
  test(`TLS fails where ${name}`, async () => {
    await using proxy = await hopline(["-L", "127.0.0.1:0", ...hops().flatMap((hop) => ["-F", hop])]);
    const trail = proxy.trail();
    const { code, stderr } = await fetchThrough("socks5", proxy.address, `${web.url}/blob`);
    assertEquals(code, 97, stderr);
    const { error } = await trail.find("tunnel.failed", { target: web.address });
    assertEquals([error.code, error.hop, error.stage], ["tls", hop, "tls"], JSON.stringify(error));
    assertStringIncludes(error.label, "socks5+tls");
  });
}

for (const certificate of ["no", "a stranger's"]) {
  test(`a hop that asks for a client certificate refuses ${certificate} certificate`, async () => {
    const more = certificate === "no" ? "" : `&${trust.stranger}`;
    const hop = `socks5+tls://${front.mutual.address}?${trust.ca}${more}`;
    await using proxy = await hopline(["-L", "127.0.0.1:0", "-F", hop]);
    const trail = proxy.trail();
    const { code, stderr } = await fetchThrough("socks5", proxy.address, `${web.url}/blob`);
    assertEquals(code, 97, stderr);
    // With TLS 1.3 the client has finished before the server says no: code and stage depend on what it reads next.
    assertEquals((await trail.find("tunnel.failed", { target: web.address })).error.hop, 1);
  });
}
