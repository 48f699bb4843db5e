/**
 * ssh_config, used by a real ssh to reach a real sshd. `hopline` is a script on the PATH, and the listener that the
 * file expects on port 1080 has a port of its own here.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { command, type Hopline, hopline, root } from "../support/hopline.ts";
import { blob, sha256 } from "../support/origins.ts";
import { must } from "../support/process.ts";
import { sshOptions, type SshServer, sshServer } from "../support/ssh.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let server: SshServer;
let proxy: Hopline;
before(async () => {
  server = stack.use(await sshServer());
  proxy = stack.use(await hopline(["-L", "127.0.0.1:0"]));
  const script = directory.write(
    "hopline",
    `#!/bin/sh
for word; do
  shift
  [ "$word" = socks5://127.0.0.1:1080 ] && word=socks5://${proxy.address}
  set -- "$@" "$word"
done
exec ${command.map((word) => `'${word}'`).join(" ")} "$@"
`,
  );
  chmodSync(script, 0o755);
});
after(() => stack.disposeAsync());

test("ssh -F examples/ssh_config reaches the host through the running Hopline", async () => {
  const trail = proxy.trail();
  const [, , ...options] = sshOptions(server);
  const args = ["-F", join(root, "examples", "ssh_config"), ...options, server.login, "cat"];
  const env = { PATH: `${directory.path}:${process.env.PATH}` };
  const { stdout } = await must("ssh", args, { input: blob, env });
  assertEquals(sha256(stdout), sha256(blob));
  await trail.find("tunnel.closed", { target: server.address, protocol: "socks5" });
});
