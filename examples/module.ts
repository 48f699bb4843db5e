/**
 * Hopline as a module: a chain is a dialer, and a dialer opens connections.
 *
 *   deno run -A examples/module.ts     or     bun examples/module.ts
 */
import { chain, http, ProxyError, serve, socks5 } from "@hopline/hopline";

// Two proxies on this machine; put your own in their place.
const quiet = { level: "error" } as const;
await using office = await serve({ listeners: ["127.0.0.1:0"], log: quiet });
await using relay = await serve({ listeners: ["127.0.0.1:0"], log: quiet });

const dialer = chain([http(office.addresses[0]), socks5(relay.addresses[0])]);

// Any server that answers: the relay itself speaks HTTP well enough to say that it is a proxy.
const conn = await dialer.dial(relay.addresses[0]);
await conn.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: relay\r\n\r\n"));
const buffer = new Uint8Array(4096);
const n = await conn.read(buffer);
console.log(new TextDecoder().decode(buffer.subarray(0, n ?? 0)).split("\r\n")[0]);
conn.close();

// A failure says which hop, at what stage, and why.
try {
  await dialer.dial({ hostname: "127.0.0.1", port: 1 });
} catch (error) {
  if (!(error instanceof ProxyError)) throw error;
  console.log(`hop ${error.hop}, stage ${error.stage}: ${error.code}`);
}
