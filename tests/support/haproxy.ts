/**
 * HAProxy, in front of another server or behind it.
 *
 * @module
 */
import { start } from "./process.ts";
import { type Served, served } from "./served.ts";
import { freePort, temporaryDirectory } from "./temporary.ts";

/** Where it listens. */
export interface Listening {
  readonly hostname?: string;
  /** Any free port if it isn't given. */
  readonly port?: number;
}

async function haproxy(
  { hostname = "127.0.0.1", port }: Listening,
  listen: (bind: string) => string,
): Promise<Served> {
  const directory = temporaryDirectory();
  const at = port ?? await freePort(hostname);
  const file = directory.write(
    "haproxy.cfg",
    `global
  log stdout format raw local0
  set-dumpable
defaults
  log global
  timeout client 60s
  timeout server 60s
  timeout connect 10s
  timeout check 5s
${listen(`bind ${hostname}:${at}`)}
`,
  );
  return served({ daemon: start("haproxy", ["-db", "-f", file]), hostname, port: at, directory });
}

/** Leads every connection to `to`, whose options follow, as `send-proxy check inter 100ms`. */
export function haproxyTo(to: string, options: string, listening: Listening = {}): Promise<Served> {
  return haproxy(
    listening,
    (bind) =>
      `listen front
  mode tcp
  option tcplog
  unique-id-format request-%rt
  ${bind}
  server behind ${to} ${options}`,
  );
}

/**
 * Requires the PROXY protocol and answers every HTTP request with what it has learnt: the client, where that connected
 * to, the server name and whether there was a unique id.
 */
export function haproxyAnswering(listening: Listening = {}, tls = ""): Promise<Served> {
  const learnt = "%[src] %[src_port] %[dst] %[dst_port] authority=%[fc_pp_authority] id=%[fc_pp_unique_id]";
  return haproxy(
    listening,
    (bind) =>
      `frontend answering
  mode http
  ${bind} accept-proxy ${tls}
  http-request return status 200 content-type text/plain lf-string "${learnt}"`,
  );
}
