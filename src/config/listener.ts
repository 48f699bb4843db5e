/**
 * The schema of a listener, as a URL or as an object.
 *
 * @module
 */
import { z } from "zod";
import { formatEndpoint, isLoopback } from "../core/address.ts";
import { pem, type ReadText, secret } from "./files.ts";
import { listenerProtocols, unsupported } from "./protocols.ts";
import { parseAddress, parseListenAddress, parseListenerUrl } from "./url.ts";
import { listenerOptions } from "./url_options.ts";
import { urlSchema } from "./url_schema.ts";
import { byteLength, parsed, report, type Reports } from "./values.ts";

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
      .superRefine((list, ctx) => {
        if (list.length > 1) report(ctx, unsupported("a list of certificates, chosen by server name,"), [1]);
      })
      .optional()
      .describe("TLS for the clients of this listener."),
    users: z.array(user(read)).min(1).superRefine(checkUsers).optional()
      .describe("Who may use it. Default: everybody who can reach it."),
    open: z.boolean().default(false)
      .describe("Let everybody in who can reach a listener off the loopback."),
    forwarded: z.boolean().optional()
      .describe("Tell web servers the client's address, in a Forwarded field of plain HTTP requests."),
    target: parsed((text) => parseAddress(text)).optional()
      .describe("host:port that every connection goes to (a port forward)."),
    proxyProtocol: z.never({ error: () => unsupported("`proxyProtocol`") }).optional()
      .describe("Not supported by this version."),
    sni: z.never({ error: () => unsupported("`sni`") }).optional().describe("Not supported by this version."),
  }).superRefine((listener, ctx) => {
    checkWays(listener, ctx);
    checkOpen(listener, ctx);
  });
}

/** A certificate for the clients of a listener. */
export type TlsServerConfig = z.output<ReturnType<typeof tlsServer>>;

function tlsServer(read: ReadText) {
  return z.strictObject({
    certificate: pem(read, "certificate")
      .describe("The certificate and its chain: a PEM file's path, or PEM text."),
    key: pem(read, "private key").describe("Its private key: a PEM file's path, or PEM text."),
    clientCa: pem(read, "certificate").optional()
      .describe("Ask clients for a certificate of these authorities: a PEM file's path, or PEM text."),
    required: z.boolean().optional()
      .describe("Refuse clients without TLS. Default: true with clientCa, otherwise false."),
  }).transform(({ required, ...tls }) => ({ ...tls, required: required ?? tls.clientCa !== undefined }));
}

function user(read: ReadText) {
  return z.strictObject({
    username: z.string().describe("The user's name."),
    password: secret(read).describe('The user\'s password, or { "file": "path" }.'),
  }).superRefine(({ username, password }, ctx) => {
    for (const [key, value] of [["username", username], ["password", password]] as const) {
      const length = byteLength(value);
      if (length < 1 || length > 255) report(ctx, `expected 1 to 255 bytes, found ${length}`, [key]);
    }
    if (username.includes(":")) report(ctx, "a user name with a colon cannot log in over HTTP", ["username"]);
  });
}

function checkUsers(users: readonly { username: string }[], ctx: Reports): void {
  const seen = new Set<string>();
  users.forEach(({ username }, index) => {
    if (seen.has(username)) report(ctx, "this user is listed twice", [index, "username"]);
    seen.add(username);
  });
}

type Listener = z.output<ReturnType<typeof listenerObject>>;

/** What contradicts itself. */
function checkWays({ protocols, users, target }: Listener, ctx: Reports): void {
  if (target !== undefined && protocols !== undefined) {
    report(ctx, "a port forward (`target`) speaks no protocol of its own; leave `protocols` out", [
      "protocols",
    ]);
  }
  if (target !== undefined && users !== undefined) {
    report(ctx, "a port forward (`target`) cannot ask for a user; leave `users` out", ["users"]);
  }
  if (users !== undefined && protocols?.includes("socks4")) {
    const index = protocols.indexOf("socks4");
    report(ctx, "SOCKS4 has no password, so a listener with `users` cannot offer it", ["protocols", index]);
  }
}

/** Nobody should run an open proxy by accident. */
function checkOpen({ address, users, tls, open, target }: Listener, ctx: Reports): void {
  const guarded = users !== undefined || tls?.every((one) => one.clientCa !== undefined && one.required);
  if (open || guarded || isLoopback(address.hostname)) return;
  const at = formatEndpoint(address);
  const remedy = target === undefined
    ? 'list `users`, listen on 127.0.0.1, or say open=true (as a key: "open": true)'
    : 'listen on 127.0.0.1, or say open=true (as a key: "open": true)';
  const who = target === undefined ? "an open proxy" : "an open way to its target";
  report(ctx, `${at} would be ${who}: others can reach it and nobody has to log in; ${remedy}`, ["address"]);
}
