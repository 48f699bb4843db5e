/**
 * The whole story on one machine: a web server, an office proxy that allows only CONNECT and only to one port, a relay
 * outside that speaks SOCKS5 inside TLS on that port, and the laptop's Hopline in front of both.
 *
 *   deno run -A examples/demo.ts     or     bun examples/demo.ts
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { chain, type Dialer, direct, type Endpoint, ProxyError, serve, socks5 } from "@hopline/hopline";

const here = new URL("./certificates/", import.meta.url).pathname;
const quiet = { level: "error" } as const;
const password = "correct horse battery staple";

// The web server that nobody in the office can reach directly.
const web = createServer((_request, response) => response.end("Hello from outside!\n"));
await new Promise<void>((ready) => web.listen(0, "127.0.0.1", ready));
const site: Endpoint = { hostname: "127.0.0.1", port: (web.address() as AddressInfo).port };

// The relay outside: SOCKS5 inside TLS, with a user.
await using relay = await serve({
  listeners: [{
    address: "127.0.0.1:0",
    protocols: ["socks5"],
    tls: { certificate: `${here}relay.pem`, key: `${here}relay.key`, required: true },
    users: [{ username: "alice", password }],
  }],
  log: quiet,
});
const [relayAddress] = relay.addresses;

// The office's proxy: CONNECT, and only to the relay's port (443 in real life).
const restricted: Dialer = {
  async dial(target, ctx) {
    if (target.port === relayAddress.port) return await direct().dial(target, ctx);
    throw new ProxyError(`port ${target.port} is not allowed`, {
      code: "denied",
      side: "local",
      stage: "request",
    });
  },
};
await using office = await serve(
  { listeners: [{ address: "127.0.0.1:0", protocols: ["http"] }], log: quiet },
  { dialer: restricted },
);
const [officeAddress] = office.addresses;

// The laptop: one local port, and the chain behind it.
await using laptop = await serve({
  listeners: ["127.0.0.1:0"],
  hops: {
    office: `http://127.0.0.1:${officeAddress.port}`,
    relay: {
      protocol: "socks5",
      address: `127.0.0.1:${relayAddress.port}`,
      tls: { serverName: "relay.example.net", ca: `${here}ca.pem` },
      username: "alice",
      password,
    },
  },
  chains: { out: ["office", "relay"] },
  log: quiet,
});
const [laptopAddress] = laptop.addresses;

console.log(`web server        ${site.hostname}:${site.port}`);
console.log(`office proxy      127.0.0.1:${officeAddress.port}   CONNECT, only to port ${relayAddress.port}`);
console.log(`relay outside     127.0.0.1:${relayAddress.port}   SOCKS5 inside TLS, user alice`);
console.log(`Hopline           127.0.0.1:${laptopAddress.port}   SOCKS5, SOCKS4, HTTP CONNECT`);

// What a browser, curl or git would do.
console.log(`\nthrough the chain: ${(await fetchThrough(laptopAddress)).trim()}`);

// Without the relay, the office says no, and Hopline says who said it.
await using refused = await serve({
  listeners: ["127.0.0.1:0"],
  hops: { office: `http://127.0.0.1:${officeAddress.port}` },
  chains: { out: ["office"] },
}, {
  log(_level, event, fields) {
    const { hop, label, stage, message } = (fields?.error ?? {}) as Record<string, string>;
    if (event === "tunnel.failed") {
      console.log(`without the relay: hop ${hop}, ${label}, ${stage}: ${message}`);
    }
  },
});
await fetchThrough(refused.addresses[0]).catch(() => {});

web.close();

/** GETs the site's page through a SOCKS5 proxy. */
async function fetchThrough(proxy: Endpoint): Promise<string> {
  const conn = await chain([socks5(proxy)]).dial(site);
  try {
    await conn.write(new TextEncoder().encode(`GET / HTTP/1.0\r\nHost: site\r\n\r\n`));
    const buffer = new Uint8Array(4096);
    let page = "";
    for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) {
      page += new TextDecoder().decode(buffer.subarray(0, n));
    }
    return page.slice(page.indexOf("\r\n\r\n") + 4);
  } finally {
    conn.close();
  }
}
