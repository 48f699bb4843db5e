/**
 * The real programs that the tests run, and the Debian packages they come from. Nothing is ever skipped: a
 * program that is missing fails the test with the command that installs it.
 *
 * @module
 */
import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import process from "node:process";

/** Program to package; `packages.txt` beside this file lists the same packages for whoever prepares a machine. */
export const packages = {
  "apt-helper": "apt",
  "chromium": "chromium",
  "curl": "curl",
  "danted": "dante-server",
  "dnsmasq": "dnsmasq-base",
  "git": "git",
  "h2load": "nghttp2-client",
  "haproxy": "haproxy",
  "ip": "iproute2",
  "microsocks": "microsocks",
  "ncat": "ncat",
  "nft": "nftables",
  "nghttp": "nghttp2-client",
  "nghttpx": "nghttp2-proxy",
  "nsenter": "util-linux",
  "openssl": "openssl",
  "proxychains4": "proxychains4",
  "proxytunnel": "proxytunnel",
  "python3": "python3",
  "redsocks": "redsocks",
  "setpriv": "util-linux",
  "socat": "socat",
  "squid": "squid",
  "ssh": "openssh-client",
  "ssh-keygen": "openssh-client",
  "sshd": "openssh-server",
  "stunnel4": "stunnel4",
  "tinyproxy": "tinyproxy-bin",
  "unbound": "unbound",
  "unshare": "util-linux",
  "wget": "wget",
} as const;

/** The name of a program that may be run. */
export type Program = keyof typeof packages;

/** Servers live where an ordinary user's PATH does not look, apt's helper where nobody's does. */
const places = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/lib/apt"];

/** The program's path, or an error that says how to get it. A path is taken as it is. */
export function locate(program: Program | string): string {
  if (isAbsolute(program)) return program;
  const found = places.map((place) => join(place, program)).find(executable);
  if (found !== undefined) return found;
  const name = packages[program as Program];
  throw new Error(name ? `${program} is missing: apt-get install ${name}` : `${program} is missing`);
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
