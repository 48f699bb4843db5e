/**
 * HAProxy, in front of another server or behind it.
 *
 * @module
 */
import { start } from "./process.ts";
import { type Served, served } from "./served.ts";
import { freePort, temporaryDirectory } from "./temporary.ts";

/** Leads every connection to `to`, whose options follow, as `send-proxy`; `bind` are those of its own address. */
export function haproxyTo(to: string, options: string, bind = ""): Promise<Served> {
  return haproxy((address) =>
    `listen front
  mode tcp
  option tcplog
  unique-id-format request-%rt
  bind ${address} ${bind}
  server behind ${to} ${options}`
  );
}

/**
 * Requires the PROXY protocol and answers every HTTP request with what it has learnt: the client, where that connected
 * to, the server name and the unique id. `bind` are options of its address, as `ssl`.
 */
export function haproxyAnswering(bind = ""): Promise<Served> {
  const learnt = "%[src] %[src_port] %[dst] %[dst_port] authority=%[fc_pp_authority] id=%[fc_pp_unique_id]";
  return haproxy((address) =>
    `frontend answering
  mode http
  bind ${address} accept-proxy ${bind}
  http-request return status 200 content-type text/plain lf-string "${learnt}"`
  );
}

async function haproxy(section: (address: string) => string): Promise<Served> {
  const directory = temporaryDirectory();
  const port = await freePort();
  const file = directory.write(
    "haproxy.cfg",
    `global
  log stdout format raw local0
defaults
  log global
  timeout client 60s
  timeout server 60s
  timeout connect 10s
  timeout check 5s
${section(`127.0.0.1:${port}`)}
`,
  );
  return served({ daemon: start("haproxy", ["-db", "-f", file]), port, directory });
}
