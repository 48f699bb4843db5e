/**
 * ingress.jsonc: TLS that is terminated, passed on and bridged.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { haproxyAnswering } from "../support/haproxy.ts";
import { type Hopline, hopline, hoplineCommand, root } from "../support/hopline.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";
import { must, run } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const example = (name: string) => join(root, "examples", name);
const ca = example("certificates/ca.pem");

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let app: WebOrigin;
let ingress: Hopline;
/** The ports of the two listeners. */
let ports: string[];
before(async () => {
  app = stack.use(await webOrigin());
  const pem = ["relay.pem", "relay.key"].map((name) => readFileSync(example(`certificates/${name}`), "utf8"));
  const api = stack.use(await haproxyAnswering(`ssl crt ${directory.write("api.pem", pem.join(""))}`));
  const env = { INGRESS_PORT: "0", BRIDGE_PORT: "0", APP: app.address, API: api.address };
  ingress = stack.use(await hopline(["-c", example("ingress.jsonc")], 2, env));
  ports = ingress.addresses.map((address) => address.split(":")[1]);
});
after(() => stack.disposeAsync());

test("a name of the certificate is terminated, and led to the plain server", async () => {
  const to = ["--connect-to", `::127.0.0.1:${ports[0]}`];
  for (const name of ["localhost", "relay.example.net"]) {
    const { stdout } = await must("curl", ["-sS", "--cacert", ca, ...to, `https://${name}/blob`]);
    assertEquals(sha256(stdout), sha256(blob));
  }
});

test("every other name is passed on to port 443 of its server", async () => {
  const trail = ingress.trail();
  await run("curl", ["-sS", "--connect-to", `::127.0.0.1:${ports[0]}`, "https://nobody.invalid/"]);
  const { protocol, target } = await trail.find("tunnel.failed");
  assertEquals([protocol, target], ["sni", "nobody.invalid:443"]);
});

test("the second port bridges, and tells who the client is", async () => {
  const to = ["--connect-to", `::127.0.0.1:${ports[1]}`];
  const format = ["-w", "%{stderr}%{local_ip} %{local_port}"];
  const { stdout, stderr } = await must("curl", [
    ...["-sS", "--http1.1", "--cacert", ca, ...to, ...format],
    "https://relay.example.net/",
  ]);
  assertEquals(stdout.toString().split(" authority")[0], `${stderr} 127.0.0.1 ${ports[1]}`);
  assertMatch(stdout.toString(), /authority=relay\.example\.net /);
});

test("it passes the check as it stands", async () => {
  const { code, stderr } = await hoplineCommand(["check", example("ingress.jsonc")]);
  assertEquals([code, stderr], [0, ""]);
});
