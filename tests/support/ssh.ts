/**
 * An OpenSSH server on a port of its own, with keys made for this run.
 *
 * @module
 */
import { chmodSync, mkdirSync } from "node:fs";
import { must, start } from "./process.ts";
import { type Served, served } from "./served.ts";
import { freePort, temporaryDirectory } from "./temporary.ts";

/** A running sshd. */
export interface SshServer extends Served {
  /** `user@host`, for the ssh command. */
  readonly login: string;
  /** The key that it lets in. */
  readonly identity: string;
  /** The file with the host key that a client has to meet: a tunnel to another place would not pass. */
  readonly knownHosts: string;
}

/** Starts sshd; it has to run as root, and only the key made here may log in. */
export async function sshServer(): Promise<SshServer> {
  const directory = temporaryDirectory();
  chmodSync(directory.path, 0o700);
  const hostname = "127.0.0.1";
  const port = await freePort();
  const host = directory.join("host");
  const identity = directory.join("user");
  for (const file of [host, identity]) {
    await must("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file]);
  }
  const { stdout: hostKey } = await must("ssh-keygen", ["-y", "-f", host]);
  const { stdout: userKey } = await must("ssh-keygen", ["-y", "-f", identity]);
  const knownHosts = directory.write("known_hosts", `[${hostname}]:${port} ${hostKey}`);
  const keys = directory.write("authorized_keys", userKey);
  mkdirSync("/run/sshd", { recursive: true });
  const file = directory.write(
    "sshd.conf",
    `ListenAddress ${hostname}
Port ${port}
HostKey ${host}
AuthorizedKeysFile ${keys}
StrictModes no
UsePAM no
UseDNS no
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
MaxStartups 100
`,
  );
  const server = await served({ daemon: start("sshd", ["-D", "-e", "-f", file]), hostname, port, directory });
  return { ...server, login: `root@${hostname}`, identity, knownHosts };
}

/** What every ssh command needs to reach that server and no user's own settings. */
export function sshOptions(server: SshServer): string[] {
  const settings = [
    `Port=${server.port}`,
    `IdentityFile=${server.identity}`,
    "IdentitiesOnly=yes",
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    `UserKnownHostsFile=${server.knownHosts}`,
    "GlobalKnownHostsFile=/dev/null",
  ];
  return ["-F", "none", ...settings.flatMap((setting) => ["-o", setting])];
}
