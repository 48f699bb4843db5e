/**
 * The schema of a hop, as a URL or as an object.
 *
 * @module
 */
import { z } from "zod";
import { parseHostname } from "../core/address.ts";
import { checkKeyPair } from "./certificates.ts";
import { pem, type ReadText, secret } from "./files.ts";
import { type HopProtocol, type HopScheme, hopSchemes } from "./protocols.ts";
import { parseAddress, parseHopUrl } from "./url.ts";
import { hopOptions } from "./url_options.ts";
import { urlSchema } from "./url_schema.ts";
import { byteLength, duration, parsed, parsePin, report, type Reports } from "./values.ts";

/** A hop: `socks5+tls://relay.example.net`, or the same as an object. */
export function hopSchema(read: ReadText) {
  const object = hopObject(read);
  const url = urlSchema(object, parseHopUrl, hopOptions);
  return z.union([
    url.describe("A hop's URL: scheme://[user:password@]host[:port][?option=value&…]"),
    object.describe("A hop as an object; the keys say what the parts of its URL would."),
  ]);
}

const schemeNames = Object.keys(hopSchemes) as [HopScheme, ...HopScheme[]];

function hopObject(read: ReadText) {
  return z.strictObject({
    protocol: z.enum(schemeNames)
      .describe("What is spoken with the hop; +tls puts it inside TLS, https is http+tls, and h2 always is."),
    address: parsed((text) => parseAddress(text, unset)).describe(
      "host or host:port; an IPv6 address in brackets.",
    ),
    tls: tlsClient(read).optional().describe("TLS around the hop's protocol."),
    proxyProtocol: proxyProtocolVersion().optional()
      .describe("Tell the hop of the client first, in this version of the PROXY protocol."),
    username: z.string().optional().describe("The user name for the hop."),
    password: secret(read).optional().describe('The password for the hop, or { "file": "path" }.'),
    resolve: z.literal("local").optional()
      .describe("Look names up here instead of passing them on to the hop."),
    forward: z.literal("absolute").optional()
      .describe("Send HTTP requests for port 80 to this HTTP proxy in absolute form instead of by CONNECT."),
    timeout: duration().optional()
      .describe("How long to wait for this hop, instead of timeouts.connect, as in 5s."),
  }).transform(({ protocol: scheme, address, tls: options, ...rest }, ctx) => {
    const { protocol, tls: inTls, port }: { protocol: HopProtocol; tls: boolean; port: number } =
      hopSchemes[scheme];
    const tls = options ?? (inTls ? plainTls() : undefined);
    checkCredentials(protocol, rest, ctx);
    if (protocol === "h2" && tls?.alpn.length && !tls.alpn.includes("h2")) {
      report(ctx, 'a hop that speaks HTTP/2 is offered "h2"; name it, or leave `alpn` out', ["tls", "alpn"]);
    }
    if (rest.forward !== undefined && protocol !== "http") {
      report(ctx, "only an HTTP proxy can be asked in absolute form", ["forward"]);
    }
    if (rest.forward !== undefined && rest.resolve !== undefined) {
      report(ctx, "requests in absolute form carry the name itself: leave `resolve` out", ["resolve"]);
    }
    if (protocol === "h2" && rest.proxyProtocol !== undefined) {
      report(ctx, "HTTP/2 shares a connection among clients, so it can't be told of one; use https", [
        "proxyProtocol",
      ]);
    }
    const alone = rest.forward ?? rest.proxyProtocol;
    if (protocol === "http" && alone !== undefined && tls?.alpn.includes("h2")) {
      const key = rest.forward === undefined ? "proxyProtocol" : "forward";
      report(ctx, `a hop with \`${key}\` speaks HTTP/1.1; leave \`alpn\` out`, ["tls", "alpn"]);
    }
    const defaultPort = tls === undefined ? port : 443;
    const hop = { protocol, address: { ...address, port: address.port || defaultPort }, ...rest };
    return (tls === undefined ? hop : { ...hop, tls }) as typeof hop & {
      name?: string;
      tls?: TlsClientConfig;
    };
  });
}

/** The version in which a server is told of the client. */
export function proxyProtocolVersion() {
  return z.literal([1, 2], {
    error: "expected 1 or 2, the version of the PROXY protocol",
  });
}

/** Stands for a port that was left out, until the protocol is known; no hop can have it. */
const unset = 0;

/** How a hop's TLS is set up. */
export type TlsClientConfig = z.output<ReturnType<typeof tlsClient>>;

/** TLS that nobody has set up. */
export function plainTls(): TlsClientConfig {
  return { pins: [], alpn: [], insecure: false };
}

/** How TLS towards a hop or a target is set up. */
export function tlsClient(read: ReadText) {
  return z.strictObject({
    serverName: parsed((name) => name === "" ? "" : parseHostname(name)).optional()
      .describe("The name to send and to verify instead of the host; empty to send none."),
    ca: pem(read, "certificate").optional()
      .describe("Certificate authorities to trust instead of the system's: a PEM file's path, or PEM text."),
    certificate: pem(read, "certificate").optional()
      .describe("The client certificate: a PEM file's path, or PEM text."),
    key: pem(read, "private key").optional().describe("Its private key: a PEM file's path, or PEM text."),
    pins: z.array(parsed(parsePin)).default([])
      .describe("Hashes of public keys, as sha256/BASE64; the hop's has to be among them."),
    alpn: z.array(z.string().refine(isProtocolName, "expected 1 to 255 bytes")).default([])
      .describe("Protocol names to offer (ALPN)."),
    insecure: z.boolean().default(false).describe("Do not verify this hop's certificate."),
  }).superRefine(({ certificate, key }, ctx) => {
    if (certificate !== undefined && key === undefined) {
      report(ctx, "a client certificate needs its `key`", ["certificate"]);
    }
    if (key !== undefined && certificate === undefined) report(ctx, "a key needs its `certificate`", ["key"]);
    if (certificate !== undefined && key !== undefined) checkKeyPair({ certificate, key }, ctx);
  });
}

function isProtocolName(name: string): boolean {
  const length = byteLength(name);
  return length > 0 && length < 256;
}

interface Credentials {
  username?: string;
  password?: string;
}

/** What the protocol cannot carry is found here, not when the first tunnel fails. */
function checkCredentials(protocol: HopProtocol, { username, password }: Credentials, ctx: Reports): void {
  if (password !== undefined && !username) report(ctx, "a password needs a `username`", ["password"]);
  const socks4 = protocol === "socks4" || protocol === "socks4a";
  if (socks4 && password !== undefined) report(ctx, "SOCKS4 has no password", ["password"]);
  const longest = protocol === "socks5" ? 255 : 512;
  for (const [key, value] of [["username", username], ["password", password]] as const) {
    if (value === undefined) continue;
    // deno-lint-ignore no-control-regex
    if (/[\x00-\x1f\x7f]/.test(value)) report(ctx, "expected no control character", [key]);
    if (byteLength(value) > longest) {
      report(ctx, `expected at most ${longest} bytes, found ${byteLength(value)}`, [key]);
    }
  }
  if ((protocol === "http" || protocol === "h2") && username?.includes(":")) {
    report(ctx, "HTTP Basic authentication cannot carry a user name with a colon", ["username"]);
  }
}
