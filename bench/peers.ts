/**
 * The proxies of other makes, each set up to do no more than its role needs: nothing is logged, nobody is asked for a
 * password, everything is allowed.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { squidAlone } from "../tests/support/peers.ts";
import type { Command, Contender, Place } from "./contender.ts";

function microsocksAt(port: number): Command {
  return ["microsocks", "-i", "127.0.0.1", "-p", String(port)];
}

const microsocks: Contender["roles"] = {
  socks5: ({ port }) => [microsocksAt(port)],
};

const danted: Contender["roles"] = {
  socks5: ({ port, directory }) => {
    const file = directory.write(
      "danted.conf",
      `logoutput: /dev/null
internal: 127.0.0.1 port = ${port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 0/0 to: 0/0 }
socks pass { from: 0/0 to: 0/0 }
`,
    );
    return [["danted", "-f", file, "-p", directory.join("pid")]];
  },
};

const threeProxy: Contender["roles"] = {
  socks5: (place) => [threeProxyAs("socks", place)],
  http: (place) => [threeProxyAs("proxy", place)],
  plain: (place) => [threeProxyAs("proxy", place)],
};

function threeProxyAs(service: string, { port, directory, tunnels }: Place): Command {
  const text = `auth none\nmaxconn ${tunnels}\n${service} -i127.0.0.1 -p${port}\n`;
  return ["3proxy", directory.write("3proxy.cfg", text)];
}

const hev: Contender["roles"] = {
  socks5: ({ port, directory }) => {
    const text =
      `main:\n  workers: 1\n  port: ${port}\n  listen-address: '127.0.0.1'\nmisc:\n  log-level: error\n`;
    return [["hev-socks5-server", directory.write("hev.yml", text)]];
  },
};

const gost: Contender["roles"] = {
  socks5: ({ port }) => [["gost", "-L", `socks5://127.0.0.1:${port}`]],
  http: ({ port }) => [["gost", "-L", `http://127.0.0.1:${port}`]],
  plain: ({ port }) => [["gost", "-L", `http://127.0.0.1:${port}`]],
  tls: ({ port, certificate: { cert, key } }) => [
    ["gost", "-L", `socks5+tls://127.0.0.1:${port}?certFile=${cert}&keyFile=${key}`],
  ],
};

const haproxy: Contender["roles"] = {
  tcp: (place) => [haproxyTo(place, place.targets.tunnel)],
};

const haproxyBefore: Contender["roles"] = {
  tls: (place) => [microsocksAt(place.inner), haproxyTo(place, place.inner, pem(place))],
};

function haproxyTo({ port, directory, tunnels }: Place, to: number, certificate?: string): Command {
  const file = directory.write(
    "haproxy.cfg",
    `global
  maxconn ${tunnels}
  nbthread 1
defaults
  mode tcp
  timeout client 1h
  timeout server 1h
  timeout connect 10s
listen front
  bind 127.0.0.1:${port} ${certificate === undefined ? "" : `ssl crt ${certificate}`}
  server behind 127.0.0.1:${to}
`,
  );
  return ["haproxy", "-db", "-f", file];
}

/** One file with both, as HAProxy wants it. */
function pem({ certificate: { cert, key }, directory }: Place): string {
  return directory.write("both.pem", readFileSync(cert, "utf8") + readFileSync(key, "utf8"));
}

const stunnelBefore: Contender["roles"] = {
  tls: ({ port, inner, certificate: { cert, key }, directory }) => {
    const file = directory.write(
      "stunnel.conf",
      `foreground = yes
pid =
syslog = no
debug = emerg
[relay]
accept = 127.0.0.1:${port}
connect = 127.0.0.1:${inner}
cert = ${cert}
key = ${key}
`,
    );
    return [microsocksAt(inner), ["stunnel", file]];
  },
};

const squid: Contender["roles"] = {
  http: (place) => [squidAt(place.port, place)],
  plain: (place) => [squidAt(place.port, place)],
};

function squidAt(port: number, { directory, tunnels }: Place): Command {
  const file = directory.write(
    "squid.conf",
    `http_port 127.0.0.1:${port}
http_access allow all
access_log none
cache_log /dev/null
${squidAlone(directory, 2 * tunnels + 200)}`,
  );
  return ["squid", "-N", "-f", file];
}

const nghttpxBefore: Contender["roles"] = {
  http: (place) => [squidAt(place.inner, place), nghttpxTo(place)],
  plain: (place) => [squidAt(place.inner, place), nghttpxTo(place)],
  h2: (place) => [squidAt(place.inner, place), nghttpxTo(place)],
};

function nghttpxTo({ port, inner }: Place): Command {
  return [
    "nghttpx",
    "--conf=/dev/null",
    "--http2-proxy",
    "--workers=1",
    "--backend-connections-per-host=10000",
    "--errorlog-file=/dev/null",
    `--frontend=127.0.0.1,${port};no-tls`,
    `--backend=127.0.0.1,${inner};;proto=http/1.1`,
  ];
}

const tinyproxy: Contender["roles"] = {
  http: (place) => [tinyproxyAt(place)],
  plain: (place) => [tinyproxyAt(place)],
};

function tinyproxyAt({ port, directory, tunnels }: Place): Command {
  const text = `Port ${port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nMaxClients ${tunnels}\n`;
  return ["tinyproxy", "-d", "-c", directory.write("tinyproxy.conf", `${text}LogLevel Critical\n`)];
}

const v2ray: Contender["roles"] = {
  socks5: (place) => [v2rayAs("socks", place)],
  http: (place) => [v2rayAs("http", place)],
  plain: (place) => [v2rayAs("http", place)],
  chain1: (place) => [v2rayAs("socks", place, [place.targets.hop1])],
  chain3: (place) => [v2rayAs("socks", place, Array<number>(3).fill(place.targets.hop3))],
};

/** The last hop is the outbound that is taken; each goes through the one before it. */
function v2rayAs(protocol: string, { port, directory }: Place, hops: readonly number[] = []): Command {
  const chain = hops.map((hop, i) => ({
    tag: `hop${i}`,
    protocol: "socks",
    settings: { servers: [{ address: "127.0.0.1", port: hop }] },
    proxySettings: i > 0 ? { tag: `hop${i - 1}` } : undefined,
  }));
  const configuration = {
    log: { loglevel: "none" },
    inbounds: [{ listen: "127.0.0.1", port, protocol, settings: { auth: "noauth" } }],
    outbounds: hops.length > 0 ? chain.reverse() : [{ protocol: "freedom" }],
  };
  return ["v2ray", "-config", directory.write("v2ray.json", JSON.stringify(configuration))];
}

const all: [name: string, programs: string[], roles: Contender["roles"]][] = [
  ["microsocks", ["microsocks"], microsocks],
  ["danted", ["danted"], danted],
  ["3proxy", ["3proxy"], threeProxy],
  ["hev-socks5-server", ["hev-socks5-server"], hev],
  ["gost", ["gost"], gost],
  ["v2ray", ["v2ray"], v2ray],
  ["HAProxy", ["haproxy"], haproxy],
  ["HAProxy + microsocks", ["haproxy", "microsocks"], haproxyBefore],
  ["stunnel + microsocks", ["stunnel", "microsocks"], stunnelBefore],
  ["squid", ["squid"], squid],
  ["tinyproxy", ["tinyproxy"], tinyproxy],
  ["nghttpx + squid", ["nghttpx", "squid"], nghttpxBefore],
];

/** All of them, whether they are installed or not. */
export const peers: readonly Contender[] = all.map(([name, programs, roles]) => ({
  name,
  ours: false,
  programs,
  roles,
}));
