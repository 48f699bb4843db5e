/**
 * The schema of a listener, as a URL or as an object.
 *
 * @module
 */
import { z } from "zod";
import { formatEndpoint, isLoopback, parseHostname } from "../core/address.ts";
import { parseCidr } from "../core/cidr.ts";
import { checkKeyPair } from "./certificates.ts";
import { pemFile, type ReadText } from "./files.ts";
import { proxyProtocolVersion } from "./hop.ts";
import { quote, ValueError } from "./problems.ts";
import { listenerProtocols } from "./protocols.ts";
import { targetSchema } from "./target.ts";
import { parseListenAddress, parseListenerUrl } from "./url.ts";
import { listenerOptions } from "./url_options.ts";
import { urlSchema } from "./url_schema.ts";
import { usersSchema } from "./users.ts";
import { parsed, report, type Reports, size } from "./values.ts";

/** A listener: `socks5,http://127.0.0.1:1080`, or the same as an object. */
export function listenerSchema(read: ReadText) {
  const object = listenerObject(read);
  const url = urlSchema(object, parseListenerUrl, listenerOptions);
  return z.union([
    url.describe("A listener's URL: [scheme://][user:password@][host]:port[?option=value&…]"),
    object.describe("A listener as an object."),
  ]);
}

function listenerObject(read: ReadText) {
  return z.strictObject({
    address: parsed(parseListenAddress)
      .describe("[host]:port; no host means every address, port 0 any free port."),
    protocols: z.array(z.enum(listenerProtocols)).min(1).optional()
      .describe("What clients may speak, told apart by the first bytes. Default: everything."),
    tls: z.union([tlsServer(read), z.array(tlsServer(read)).min(1)])
      .transform((given) => Array.isArray(given) ? given : [given])
      .optional()
      .describe(
        "TLS for the clients of this listener; of several, the certificate for the server name is used.",
      ),
    users: usersSchema(read).optional()
      .describe('Who may use it, or { "file": "path" }. Default: everybody who can reach it.'),
    open: z.boolean().default(false)
      .describe("Let everybody in who can reach a listener off the loopback."),
    forwarded: z.boolean().optional()
      .describe("Tell web servers the client's address, in a Forwarded field of plain HTTP requests."),
    reverse: z.boolean().optional()
      .describe("Be a web server to the clients: a reverse proxy for the sites that routes name."),
    bandwidth: size(1).optional()
      .describe("Bytes a second, up and down each, of all tunnels of this listener; at least 1KiB."),
    target: targetSchema(read).optional().describe("Where every connection goes (a port forward)."),
    proxyProtocol: z.strictObject({
      trusted: z.array(parsed(parseCidr)).min(1)
        .describe("The networks of the proxies in front, as 10.0.0.0/8; nobody else may connect."),
    }).optional().describe("Require the PROXY protocol, which says who the client is."),
    sni: sni().optional().describe("Pass TLS on, unterminated, to the server that it names."),
  }).superRefine((listener, ctx) => {
    checkWays(listener, ctx);
    checkReverse(listener, ctx);
    checkOpen(listener, ctx);
  });
}

/** A certificate for the clients of a listener. */
export type TlsServerConfig = z.output<ReturnType<typeof tlsServer>>;

function tlsServer(read: ReadText) {
  return z.strictObject({
    certificate: pemFile(read, "certificate")
      .describe("The certificate and its chain: a PEM file's path, or PEM text."),
    key: pemFile(read, "private key").describe("Its private key: a PEM file's path, or PEM text."),
    clientCa: pemFile(read, "certificate").optional()
      .describe("Ask clients for a certificate of these authorities: a PEM file's path, or PEM text."),
    required: z.boolean().optional()
      .describe("Refuse clients without TLS. Default: true with clientCa, otherwise false."),
    target: targetSchema(read).optional()
      .describe("Where the clients of this certificate go, instead of the listener's target."),
  }).superRefine(({ certificate, key }, ctx) => {
    checkKeyPair({ certificate: certificate.text, key: key.text }, ctx);
  }).transform(({ certificate, key, clientCa, required = clientCa !== undefined, target }) => ({
    certificate: certificate.text,
    key: key.text,
    ...(clientCa && { clientCa: clientCa.text }),
    required,
    ...(target && { target }),
    ...filesOf({ certificate: certificate.path, key: key.path, clientCa: clientCa?.path }),
  }));
}

/** Where a certificate came from, so that it can be read again. */
function filesOf(paths: { certificate?: string; key?: string; clientCa?: string }): { files?: typeof paths } {
  return Object.values(paths).some((path) => path !== undefined) ? { files: paths } : {};
}

function sni() {
  const object = z.strictObject({
    port: z.int().min(1).max(65535).default(443).describe("The port of the servers."),
    names: z.array(parsed(parsePattern)).min(1).optional()
      .describe("The names that are passed on, as *.corp.example. Default: all that no certificate is for."),
    proxyProtocol: proxyProtocolVersion().optional()
      .describe("Tell the servers of the client first, in this version of the PROXY protocol."),
  });
  return z.union([z.boolean(), object])
    .transform((given) => given === false ? undefined : object.parse(given === true ? {} : given));
}

/** How TLS is passed on. */
export type SniConfig = NonNullable<z.output<ReturnType<typeof sni>>>;

function parsePattern(text: string): string {
  const name = parseHostname(text.replace(/^\*\./, "")).toLowerCase().replace(/\.$/, "");
  if (name.includes(":") || name.includes("*")) {
    throw new ValueError(`expected a name, or one behind *., found ${quote(text)}`);
  }
  return text.startsWith("*.") ? `*.${name}` : name;
}

type Listener = z.output<ReturnType<typeof listenerObject>>;

/** What contradicts itself. */
function checkWays({ protocols, users, target, sni, tls, reverse }: Listener, ctx: Reports): void {
  if (target !== undefined && protocols !== undefined) {
    report(ctx, "a port forward (`target`) speaks no protocol of its own; leave `protocols` out", [
      "protocols",
    ]);
  }
  if (target !== undefined && users !== undefined) {
    report(ctx, "a port forward (`target`) cannot ask for a user; leave `users` out", ["users"]);
  }
  if (users !== undefined) {
    tls?.forEach((one, index) => {
      if (one.target === undefined) return;
      report(ctx, "a `target` cannot ask for a user; leave `users` out", ["tls", index, "target"]);
    });
  }
  if (sni !== undefined && users !== undefined) {
    report(ctx, "TLS that is passed on (`sni`) cannot ask for a user; leave `users` out", ["users"]);
  }
  if (sni !== undefined && tls === undefined && target !== undefined) {
    report(ctx, "with `sni`, a `target` is for the TLS that is terminated; list `tls` too", ["target"]);
  }
  const led = tls?.filter((one) => one.target !== undefined).length ?? 0;
  const said = reverse || target !== undefined || protocols !== undefined;
  if (tls !== undefined && led < tls.length && (sni !== undefined || led > 0) && !said) {
    report(ctx, "nothing is said of what is inside this TLS; name a `target`, or list `protocols`", ["tls"]);
  }
  if (users !== undefined && protocols?.includes("socks4")) {
    const index = protocols.indexOf("socks4");
    report(ctx, "SOCKS4 has no password, so a listener with `users` cannot offer it", ["protocols", index]);
  }
}

/** A reverse proxy speaks HTTP, as a server that asks nobody for credentials of a proxy. */
function checkReverse({ reverse, protocols, users, target, sni, tls }: Listener, ctx: Reports): void {
  if (!reverse) return;
  if (users !== undefined) {
    report(ctx, "a reverse proxy (`reverse`) asks for no proxy's user; leave `users` out", ["users"]);
  }
  if (target !== undefined) {
    report(ctx, "with `reverse`, routes say where requests go; leave `target` out", ["target"]);
  }
  if (protocols?.some((protocol) => protocol !== "http")) {
    report(ctx, "a reverse proxy (`reverse`) speaks HTTP alone; leave `protocols` out", ["protocols"]);
  }
  if (sni !== undefined && tls === undefined) {
    report(ctx, "with `sni`, `reverse` is for the TLS that is terminated; list `tls` too", ["reverse"]);
  }
}

/** Nobody should run an open proxy by accident. A reverse proxy is none: it leads where routes name a target. */
function checkOpen({ address, users, tls, open, target, sni, reverse }: Listener, ctx: Reports): void {
  if (reverse) return;
  const certified = sni === undefined && tls?.every((one) => one.clientCa !== undefined && one.required);
  const guarded = users !== undefined || certified;
  if (open || guarded || isLoopback(address.hostname)) return;
  const at = formatEndpoint(address);
  const remedy = target === undefined && sni === undefined
    ? 'list `users`, listen on 127.0.0.1, or say open=true (as a key: "open": true)'
    : 'listen on 127.0.0.1, or say open=true (as a key: "open": true)';
  const who = target === undefined || sni !== undefined ? "an open proxy" : "an open way to its target";
  report(ctx, `${at} would be ${who}: others can reach it and nobody has to log in; ${remedy}`, ["address"]);
}
