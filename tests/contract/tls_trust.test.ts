/**
 * Whom a TLS hop trusts, and whom a TLS listener does. Every refusal names its reason.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { direct } from "@hopline/hopline";
import { before, test } from "node:test";
import type { Conn } from "../../src/core/conn.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { background } from "../../src/core/handshake.ts";
import { type TlsClientOptions, tlsHop, TlsTerminator } from "../../src/protocols/tls.ts";
import { authority, type Certificate, pin } from "../support/certificates.ts";
import { memoryPair } from "../support/memory.ts";
import { eventually, must, start } from "../support/process.ts";
import { freePort } from "../support/temporary.ts";
import { ending, readAll, readExactly, writeText } from "../support/traffic.ts";
import { credentials, pem } from "./transports.ts";

/** PEM texts. */
let ca: string;
let strangers: string;
/** By what makes them special. */
let servers: Record<"good" | "named" | "expired" | "foreign", Certificate>;
let clients: Record<"good" | "foreign", { certificate: string; key: string }>;

before(async () => {
  const { directory, authority: own, server } = await credentials();
  const other = await authority(directory, "other");
  const read = ({ cert, key }: Certificate) => ({ certificate: pem(cert), key: pem(key) });
  ca = pem(own.file);
  strangers = pem(other.file);
  servers = {
    good: server,
    named: await own.issue("relay.test"),
    expired: { cert: directory.join("expired.pem"), key: server.key },
    foreign: await other.issue("localhost"),
  };
  clients = { good: read(await own.issue("guest")), foreign: read(await other.issue("stranger")) };
  // openssl 3.0 makes a certificate for days past only from a request.
  const request = directory.join("expired.csr");
  const extensions = directory.write("expired.ext", "subjectAltName=DNS:localhost\n");
  await must("openssl", ["req", "-new", "-key", server.key, "-subj", "/CN=localhost", "-out", request]);
  const signer = ["-CA", own.file, "-CAkey", directory.join("ca.key"), "-CAcreateserial"];
  const output = ["-days", "-1", "-extfile", extensions, "-out", servers.expired.cert];
  await must("openssl", ["x509", "-req", "-in", request, ...signer, ...output]);
});

interface Attempt {
  readonly server?: keyof typeof servers;
  readonly hostname?: string;
  readonly options?: () => TlsClientOptions | Promise<TlsClientOptions>;
  readonly clientCa?: () => string;
}

/** One handshake in memory, from both sides. */
async function attempt(
  { server = "good", hostname = "localhost", options, clientCa }: Attempt,
): Promise<[client: Promise<Conn>, server: Promise<Conn>]> {
  const [a, b] = memoryPair();
  const { cert, key } = servers[server];
  const terminator = new TlsTerminator({ certificate: pem(cert), key: pem(key), clientCa: clientCa?.() });
  const hop = tlsHop(await options?.() ?? { ca });
  const accepting = terminator.accept(b, background);
  accepting.catch(() => {});
  return [hop.wrap({ dial: () => Promise.resolve(a) }).dial({ hostname, port: 443 }), accepting];
}

const trusted: Record<string, Attempt> = {
  "the CA that was given": {},
  "an address, by the certificate's": { hostname: "127.0.0.1" },
  "a fully qualified name with its dot": { hostname: "localhost." },
  "another server name": {
    server: "named",
    hostname: "10.0.0.1",
    options: () => ({ ca, serverName: "relay.test" }),
  },
  "no server name sent, the host still verified": { options: () => ({ ca, serverName: "" }) },
  "a pin that matches": { options: async () => ({ ca, pins: ["other", await key("good")] }) },
  "no verification, with a pin that matches": {
    server: "foreign",
    options: async () => ({ insecure: true, pins: [await key("foreign")] }),
  },
  "no verification of an unknown issuer": { server: "foreign", options: () => ({ insecure: true }) },
  "no verification of a wrong name": { server: "named", options: () => ({ insecure: true }) },
  "no verification of an expired certificate": { server: "expired", options: () => ({ insecure: true }) },
  "a client certificate that is asked for": {
    options: () => ({ ca, ...clients.good }),
    clientCa: () => ca,
  },
  "a client certificate that nobody asked for": { options: () => ({ ca, ...clients.foreign }) },
};

for (const [name, what] of Object.entries(trusted)) {
  test(`trusted: ${name}`, async () => {
    const [client, server] = await Promise.all(await attempt(what));
    await writeText(client, "hello");
    assertEquals(await readExactly(server, 5), "hello");
    client.close();
    server.close();
  });
}

const refused: Record<string, Attempt & { because: string }> = {
  "an unknown issuer, by default": {
    options: () => ({}),
    because: "the certificate's issuer is not trusted",
  },
  "an issuer other than the CA that was given": {
    options: () => ({ ca: strangers }),
    because: "the certificate's issuer is not trusted",
  },
  "a wrong name": { server: "named", because: "the certificate is for another name" },
  "a wrong name, none being sent": {
    server: "named",
    options: () => ({ ca, serverName: "" }),
    because: "the certificate is for another name",
  },
  "a wrong address": { hostname: "127.0.0.2", because: "the certificate is for another name" },
  "a server name that the certificate does not have": {
    options: () => ({ ca, serverName: "relay.test" }),
    because: "the certificate is for another name",
  },
  "an expired certificate": { server: "expired", because: "the certificate is not valid today" },
  "a pin that does not match": {
    options: async () => ({ ca, pins: [await key("named")] }),
    because: "which is not pinned",
  },
  "a pin that does not match, without verification": {
    options: async () => ({ insecure: true, pins: [await key("named")] }),
    because: "which is not pinned",
  },
  "a pin that matches, on a certificate of an unknown issuer": {
    server: "foreign",
    options: async () => ({ ca, pins: [await key("foreign")] }),
    because: "the certificate's issuer is not trusted",
  },
};

for (const [name, { because, ...what }] of Object.entries(refused)) {
  test(`refused: ${name}`, async () => {
    const [client, server] = await attempt(what);
    const error = await assertRejects(() => client, ProxyError, because);
    assertEquals([error.code, error.side, error.stage], ["tls", "upstream", "tls"]);
    // Where the server had finished first, what it has is a connection that ends at once.
    assertEquals(await server.then(ending, () => "error"), "error");
  });
}

for (
  const [name, options, because] of [
    ["none", () => ({ ca }), "a client certificate is required"],
    [
      "one of an unknown issuer",
      () => ({ ca, ...clients.foreign }),
      "the certificate's issuer is not trusted",
    ],
  ] as const
) {
  test(`a client certificate is required, and the client shows ${name}`, async () => {
    const [client, server] = await attempt({ options, clientCa: () => ca });
    const error = await assertRejects(() => server, ProxyError, because);
    assertEquals([error.code, error.side, error.stage], ["tls", "client", "tls"]);
    // In TLS 1.3 a client learns that only when it reads.
    assertEquals(await client.then(ending, () => "error"), "error");
  });

  test(`a server requires a client certificate, and gets ${name}`, async () => {
    const { directory, authority: own, server } = await credentials();
    const port = await freePort();
    const trust = ["-CAfile", own.file, "-verify_return_error", "-Verify", "1"];
    const args = [
      "s_server",
      "-www",
      "-accept",
      `127.0.0.1:${port}`,
      "-cert",
      server.cert,
      "-key",
      server.key,
      ...trust,
    ];
    await using openssl = start("openssl", args, { cwd: directory.path });
    await eventually(openssl.output, () => openssl.output().includes("ACCEPT") || undefined);
    const dialed = tlsHop(options()).wrap(direct()).dial({ hostname: "localhost", port });
    const error = await assertRejects(async () => await readAll(await dialed, () => {}), ProxyError);
    assertEquals([error.code, error.side, error.stage], ["tls", "upstream", "tls"]);
    assertMatch(
      error.message,
      name === "none" ? /^a client certificate is required/ : /^our certificate is refused/,
    );
  });
}

test("a key that does not belong to the certificate is a local error", async () => {
  const options = () => ({ ca, certificate: clients.good.certificate, key: clients.foreign.key });
  const [client] = await attempt({ options });
  const error = await assertRejects(() => client, ProxyError);
  assertEquals([error.code, error.side], ["tls", "local"]);
});

async function key(server: keyof typeof servers): Promise<string> {
  return (await pin(servers[server])).replace("sha256/", "");
}
