/**
 * Real proxy servers as peers: each function writes a configuration, starts the program in the foreground and
 * returns when it accepts connections. A peer knows how its journal mentions a target, so that a test can ask
 * whether the traffic really came this way.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import type { Certificate } from "./certificates.ts";
import { eventually, must, start } from "./process.ts";
import { type Served, served, type Starting } from "./served.ts";
import { sshOptions, type SshServer } from "./ssh.ts";
import { type Directory, freePort, temporaryDirectory } from "./temporary.ts";

/** A proxy server of another make. */
export interface Peer extends Served {
  readonly name: string;
  /** Waits until its journal says that it led somebody to this port. */
  saw(target: { readonly port: number }): Promise<void>;
}

/** A user name and a password. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** A peer before it is ready. */
interface Plan extends Starting {
  readonly name: string;
  /** A file that it writes its journal to, where that isn't its output. */
  readonly log?: string;
  /** How the journal writes a target's port. */
  readonly mark: (port: number) => string;
}

async function peer({ name, log, mark, ...starting }: Plan): Promise<Peer> {
  const server = await served(starting);
  const journal = () => server.journal() + (log && existsSync(log) ? readFileSync(log, "utf8") : "");
  return {
    ...server,
    name,
    journal,
    async saw({ port }) {
      const what = () => `"${mark(port)}" in the journal of ${name}: ${journal().slice(-2000)}`;
      await eventually(what, () => journal().includes(mark(port)) || undefined);
    },
  };
}

/** SOCKS5, and SOCKS4 without names. */
export async function danted(): Promise<Peer> {
  const directory = temporaryDirectory();
  const port = await freePort();
  const file = directory.write(
    "danted.conf",
    `logoutput: stderr
internal: 127.0.0.1 port = ${port}
external: 127.0.0.1
external: ::1
external.rotation: same-same
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 0/0 to: 0/0 }
socks pass { from: 0/0 to: 0/0 log: connect disconnect error }
`,
  );
  const daemon = start("danted", ["-f", file, "-p", directory.join("pid")]);
  return peer({ name: "danted", port, directory, daemon, mark: (port) => `.${port}` });
}

/** SOCKS5, with or without a password; it keeps no half-close. */
export async function microsocks(credentials?: Credentials): Promise<Peer> {
  const port = await freePort();
  const secret = credentials ? ["-u", credentials.username, "-P", credentials.password] : [];
  const daemon = start("microsocks", ["-i", "127.0.0.1", "-p", String(port), ...secret]);
  return peer({ name: "microsocks", port, daemon, mark: (port) => `:${port}` });
}

/** OpenSSH's dynamic forwarding: SOCKS5, SOCKS4 and 4a. */
export async function sshDynamic(server: SshServer): Promise<Peer> {
  const port = await freePort();
  const forward = ["-vv", "-N", "-o", "ExitOnForwardFailure=yes", "-D", `127.0.0.1:${port}`];
  const daemon = start("ssh", [...sshOptions(server), ...forward, server.login]);
  return peer({ name: "ssh -D", port, daemon, mark: (port) => `port ${port} ` });
}

/** What squid is told to allow. */
export interface SquidOptions {
  /** The only ports that CONNECT may ask for. */
  readonly ports: readonly number[];
  /** It takes requests in absolute-form for port 80 as well, and from then on CONNECT to no other port than these. */
  readonly plain?: boolean;
  readonly credentials?: Credentials;
}

/** What keeps squid from a cache, from the network and from files elsewhere. */
export function squidAlone({ path }: Directory, descriptors: number): string {
  return `cache deny all
coredump_dir ${path}
pid_filename none
netdb_filename none
pinger_enable off
visible_hostname squid.test
shutdown_lifetime 0 seconds
max_filedescriptors ${descriptors}
cache_effective_user proxy
`;
}

/** The office proxy: nothing but CONNECT, to nothing but the given ports. */
export async function squid({ ports, plain = false, credentials }: SquidOptions): Promise<Peer> {
  const directory = temporaryDirectory();
  const port = await freePort();
  const log = directory.join("access.log");
  let gate = "";
  if (credentials) {
    const hash = await must("openssl", ["passwd", "-apr1", "-stdin"], { input: credentials.password });
    const users = directory.write("users", `${credentials.username}:${hash.stdout}`);
    gate = `auth_param basic program /usr/lib/squid/basic_ncsa_auth ${users}
auth_param basic children 1 startup=1 idle=1
auth_param basic realm office
acl known proxy_auth REQUIRED
http_access deny !known
`;
  }
  const file = directory.write(
    "squid.conf",
    `http_port 127.0.0.1:${port}
acl CONNECT method CONNECT
acl permitted port ${ports.join(" ")}
acl web port 80
${plain ? "http_access deny CONNECT !permitted\nhttp_access deny !CONNECT !web" : "http_access deny !CONNECT"}
${plain ? "" : "http_access deny !permitted"}
${gate}http_access allow all
access_log stdio:${log}
cache_log ${directory.join("cache.log")}
${squidAlone(directory, 1024)}`,
  );
  const daemon = start("squid", ["-N", "-f", file]);
  // Asked to end, squid takes two seconds; its helper ends by itself when squid is gone.
  return peer({
    name: "squid",
    port,
    directory,
    daemon,
    log,
    ending: "SIGKILL",
    mark: (port) => `:${port} `,
  });
}

/** HTTP CONNECT, with or without Basic credentials; it keeps no half-close. */
export async function tinyproxy(credentials?: Credentials): Promise<Peer> {
  const directory = temporaryDirectory();
  const port = await freePort();
  const secret = credentials ? `BasicAuth ${credentials.username} ${credentials.password}\n` : "";
  const file = directory.write(
    "tinyproxy.conf",
    `Port ${port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Connect\n${secret}`,
  );
  const daemon = start("tinyproxy", ["-d", "-c", file]);
  return peer({ name: "tinyproxy", port, directory, daemon, mark: (port) => `:${port} ` });
}

/** Nmap's ncat as an HTTP proxy, with or without Basic credentials. */
export async function ncatProxy(credentials?: Credentials): Promise<Peer> {
  const port = await freePort();
  const secret = credentials ? ["--proxy-auth", `${credentials.username}:${credentials.password}`] : [];
  // As a proxy ncat listens on every address whatever it is told, so it is told whom to serve.
  const loopback = ["-4", "--allow", "127.0.0.1"];
  const listen = [
    "-vvv",
    "-l",
    "-k",
    "--proxy-type",
    "http",
    ...loopback,
    ...secret,
    "127.0.0.1",
    String(port),
  ];
  return peer({ name: "ncat", port, daemon: start("ncat", listen), mark: (port) => `:${port}` });
}

/** Where nghttpx stands. */
export interface NghttpxOptions {
  /** What it hands everything on to. */
  readonly backend: { readonly port: number; readonly h2: boolean };
  /** Its certificate; with one it speaks HTTP/2 and HTTP/1.1 inside TLS, without one HTTP/1.1 in the clear. */
  readonly tls?: Certificate;
}

/**
 * nghttpx as a forward proxy that leaves the connecting to another: HTTP/2 on one of its sides, or on both. It keeps no
 * half-close.
 */
export async function nghttpx({ backend, tls }: NghttpxOptions): Promise<Peer> {
  const directory = temporaryDirectory();
  const port = await freePort();
  const log = directory.join("access.log");
  const daemon = start("nghttpx", [
    "--conf=/dev/null",
    "--http2-proxy",
    "--workers=1",
    "--backend-connections-per-host=100",
    `--accesslog-file=${log}`,
    `--frontend=127.0.0.1,${port}${tls ? "" : ";no-tls"}`,
    `--backend=127.0.0.1,${backend.port};;proto=${backend.h2 ? "h2" : "http/1.1"}`,
    ...(tls ? [tls.key, tls.cert] : []),
  ]);
  return peer({ name: "nghttpx", port, directory, daemon, log, mark: (port) => `:${port} ` });
}
