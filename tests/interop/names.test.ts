/**
 * Name servers that others wrote: dnsmasq over UDP and TCP, unbound over TLS and over HTTPS, which is HTTP/2 there.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { configured, hopline } from "../support/hopline.ts";
import { type WebOrigin, webOrigin } from "../support/origins.ts";
import { run, start } from "../support/process.ts";
import { type Served, served } from "../support/served.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let web: WebOrigin;
let ca: string;
/** The URLs of both servers, by how they are asked. */
const servers: Record<string, string> = {};
before(async () => {
  web = stack.use(await webOrigin());
  const own = await authority(directory, "names-ca");
  ca = own.file;
  const { cert, key } = await own.issue("127.0.0.1");
  const dnsmasq = stack.use(await dnsmasqServer());
  servers.udp = `127.0.0.1:${dnsmasq.port}`;
  servers.tcp = `tcp://127.0.0.1:${dnsmasq.port}`;
  const [tls, https] = [await freePort(), await freePort()];
  stack.use(await unbound(tls, https, cert, key));
  servers.tls = `tls://127.0.0.1:${tls}?ca=${encodeURIComponent(ca)}`;
  servers.https = `https://127.0.0.1:${https}?ca=${encodeURIComponent(ca)}`;
});
after(() => stack.disposeAsync());

async function dnsmasqServer(): Promise<Served> {
  const port = await freePort();
  const only = [
    "--no-resolv",
    "--no-hosts",
    "--listen-address=127.0.0.1",
    "--bind-interfaces",
    "--user=root",
  ];
  const args = ["--keep-in-foreground", `--port=${port}`, "--pid-file=", "--conf-file=/dev/null", ...only];
  return await served({
    daemon: start("dnsmasq", [...args, "--local=/test/", "--address=/echo.test/127.0.0.1"]),
    hostname: "127.0.0.1",
    port,
  });
}

async function unbound(tls: number, https: number, cert: string, key: string): Promise<Served> {
  const file = directory.write(
    "unbound.conf",
    `server:
  interface: 127.0.0.1@${tls}
  interface: 127.0.0.1@${https}
  tls-port: ${tls}
  https-port: ${https}
  tls-service-pem: "${cert}"
  tls-service-key: "${key}"
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "${directory.path}"
  pidfile: ""
  module-config: "iterator"
  local-zone: "test." static
  local-data: "echo.test. 60 IN A 127.0.0.1"
remote-control:
  control-enable: no
`,
  );
  return await served({ daemon: start("unbound", ["-c", file]), hostname: "127.0.0.1", port: https });
}

for (const scheme of ["udp", "tcp", "tls", "https"]) {
  test(`a name is looked up by ${scheme}, and one that the server does not know is told apart`, async () => {
    await using proxy = await hopline([
      ...configured(directory, { listeners: ["127.0.0.1:0"], names: { servers: [servers[scheme]] } }),
    ]);
    const trail = proxy.trail();
    const curl = (name: string) =>
      run("curl", [
        "-s",
        "--socks5-hostname",
        proxy.address,
        "-m",
        "5",
        `http://${name}:${web.port}/`,
        "--http0.9",
      ]);
    assertEquals((await curl("echo.test")).code, 0);
    await trail.find("tunnel.closed", { target: `echo.test:${web.port}` });
    assertEquals((await curl("unknown.test")).code, 97);
    const { error } = await trail.find("tunnel.failed", { target: `unknown.test:${web.port}` });
    assertEquals([error.code, error.stage, error.message], [
      "resolve",
      "resolve",
      "name not found: unknown.test",
    ]);
  });
}
