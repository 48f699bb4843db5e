/**
 * The schema of how names are looked up.
 *
 * @module
 */
import { z } from "zod";
import { foldName, ipVersion, parseEndpoint, parseHostname } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import type { Hosts } from "../names/hosts.ts";
import type { ReadText } from "./files.ts";
import type { ElementSchemas } from "./group.ts";
import { plainTls, tlsClient, type TlsClientConfig } from "./hop.ts";
import { quote, ValueError } from "./problems.ts";
import { hopOptions, type Options, readOptions } from "./url_options.ts";
import { urlSchema } from "./url_schema.ts";
import { parsed, refuse, report } from "./values.ts";

/** A name server. */
export interface NameServerConfig {
  readonly protocol: NameServerProtocol;
  readonly address: Endpoint;
  /** For `https`: where it is asked. */
  readonly path?: string;
  readonly tls?: TlsClientConfig;
}

type NameServerProtocol = keyof typeof defaultPorts;

const defaultPorts = { udp: 53, tcp: 53, tls: 853, https: 443 };
const protocolNames = Object.keys(defaultPorts) as [NameServerProtocol, ...NameServerProtocol[]];

/** How names are looked up: what the configuration knows, and whom to ask. */
export function namesSchema(read: ReadText, { element, group }: ElementSchemas) {
  return z.strictObject({
    hosts: z.record(z.string(), z.union([address(), z.array(address()).min(1)])).default({})
      .transform((given, ctx) => hostsOf(Object.entries(given), (key, error) => refuse(ctx, error, [key])))
      .describe("Addresses of names, which may begin with *."),
    hostsFile: hostsFile(read).optional().describe("Path of a file in the form of /etc/hosts."),
    servers: z.array(nameServer(read)).min(1).optional()
      .describe("Name servers, in the order in which they are asked: [udp://], tcp://, tls:// or https://."),
    via: z.union([
      group,
      z.string().describe('"direct", or the name of a chain.'),
      z.array(element).min(1).describe("Hops and groups, nearest first."),
    ]).default("direct").describe("The way to the name servers; none over UDP."),
  }).superRefine(({ servers, via }, ctx) => {
    if (via === "direct") return;
    if (servers === undefined) report(ctx, "a way without `servers` leads nowhere", ["via"]);
    servers?.forEach(({ protocol }, index) => {
      if (protocol !== "udp") return;
      report(ctx, "UDP goes through no chain; ask this server by tcp://, tls:// or https://", [
        "servers",
        index,
      ]);
    });
  }).transform(({ hosts, hostsFile, ...rest }) => ({
    ...rest,
    hosts: new Map([...hostsFile ?? [], ...hosts]) as Hosts,
  }));
}

function address() {
  return z.string().refine((text) => ipVersion(text) !== 0, {
    error: ({ input }) => `expected an IP address, found ${quote(String(input))}`,
  });
}

function hostsOf(
  entries: readonly (readonly [string, string | string[]])[],
  wrong: (key: string, error: unknown) => void,
): Map<string, string[]> {
  const hosts = new Map<string, string[]>();
  for (const [key, addresses] of entries) {
    try {
      const below = key.startsWith("*.");
      const name = foldName(parseHostname(below ? key.slice(2) : key));
      if (ipVersion(name) !== 0) throw new ValueError("expected a name, found an address");
      hosts.set(below ? `*.${name}` : name, [addresses].flat());
    } catch (error) {
      wrong(key, error);
    }
  }
  return hosts;
}

/** Lines of an address and names; a name may stand on several lines. */
function hostsFile(read: ReadText) {
  return z.string().min(1).transform(async (file, ctx) => {
    const hosts = new Map<string, string[]>();
    try {
      for (const [index, line] of (await read(file)).text.split("\n").entries()) {
        const [ip, ...names] = line.replace(/#.*/s, "").trim().split(/\s+/);
        // A zone says where an address is; we can't connect by it.
        if (ip === "" || ip.includes("%")) continue;
        if (ipVersion(ip) === 0 || names.length === 0) {
          throw new ValueError(`${file}:${index + 1}: expected an IP address and names`);
        }
        for (const name of names) {
          const key = foldName(parseHostname(name));
          hosts.set(key, [...hosts.get(key) ?? [], ip]);
        }
      }
    } catch (error) {
      refuse(ctx, error);
    }
    return hosts;
  });
}

const serverOptions: Options = {
  sni: hopOptions.sni,
  ca: hopOptions.ca,
  pin: hopOptions.pin,
  insecure: hopOptions.insecure,
};

function nameServer(read: ReadText) {
  const object = z.strictObject({
    protocol: z.enum(protocolNames).default("udp").describe("What the server is asked by."),
    address: parsed((text) => parseEndpoint(text, { defaultPort: unset })).describe("host or host:port."),
    path: z.string().regex(/^\/[\x21-\x7e]*$/, "expected a path that begins with /").optional()
      .describe("Where an https server is asked: /dns-query unless it says otherwise."),
    tls: tlsClient(read).optional().describe("How the TLS of tls and https is set up."),
  }).superRefine(({ protocol, path, tls }, ctx) => {
    const secure = protocol === "tls" || protocol === "https";
    if (!secure && tls !== undefined) report(ctx, `there is no TLS in ${protocol}`, ["tls"]);
    if (protocol !== "https" && path !== undefined) report(ctx, "only https has a path", ["path"]);
  }).transform(({ protocol, address, path, tls }): NameServerConfig => ({
    protocol,
    address: { ...address, port: address.port || defaultPorts[protocol] },
    ...(protocol === "https" && { path: path ?? "/dns-query" }),
    ...((protocol === "tls" || protocol === "https") && { tls: tls ?? plainTls() }),
  }));
  return z.union([
    urlSchema(object, parseServerUrl, serverOptions).describe("A name server's URL, or its address for UDP."),
    object.describe("A name server as an object."),
  ]);
}

/** Stands for a port that was left out, until the protocol is known. */
const unset = 0;

function parseServerUrl(text: string): unknown {
  const [, protocol = "udp", host, path, query] =
    /^(?:([a-z0-9+.-]+):\/\/)?([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/is
      .exec(text) ?? [];
  if (host === undefined) throw new ValueError("expected [scheme://]host[:port], found something else");
  if (host.includes("@")) throw new ValueError("a name server is asked without a user name");
  // An IPv6 address may stand alone.
  const address = ipVersion(host) === 6 ? `[${host}]` : host;
  return {
    protocol,
    address,
    ...(path !== undefined && path !== "/" && { path }),
    ...readOptions(query, serverOptions),
  };
}
