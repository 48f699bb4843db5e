/**
 * stunnel in front of another server: the usual way to hide a SOCKS server inside TLS.
 *
 * @module
 */
import type { Certificate } from "./certificates.ts";
import { start } from "./process.ts";
import { type Served, served } from "./served.ts";
import { freePort, temporaryDirectory } from "./temporary.ts";

/** How stunnel is to be set up. */
export interface StunnelOptions {
  /** Where the bytes inside TLS go, `host:port`. */
  readonly to: string;
  readonly certificate: Certificate;
  /** The authority whose client certificates are required. */
  readonly clientCa?: string;
  /** Tells `to` of the client by the PROXY protocol, version 1. */
  readonly proxyProtocol?: boolean;
  readonly hostname?: string;
  /** Any free port if it isn't given. */
  readonly port?: number;
}

/** Starts stunnel and waits until it accepts connections. */
export async function stunnel(options: StunnelOptions): Promise<Served> {
  const {
    to,
    certificate,
    clientCa,
    proxyProtocol,
    hostname = "127.0.0.1",
    port = await freePort(hostname),
  } = options;
  const directory = temporaryDirectory();
  const file = directory.write(
    "stunnel.conf",
    `foreground = yes
pid =
syslog = no
debug = debug
[relay]
accept = ${hostname}:${port}
connect = ${to}
cert = ${certificate.cert}
key = ${certificate.key}
${clientCa ? `CAfile = ${clientCa}\nverifyChain = yes\nrequireCert = yes\n` : ""}${
      proxyProtocol ? "protocol = proxy\n" : ""
    }`,
  );
  return served({ daemon: start("stunnel4", [file]), hostname, port, directory });
}
