/**
 * What takes part: a proxy, and how it is started in each of the roles that it can play.
 *
 * @module
 */
import type { Certificate } from "../tests/support/certificates.ts";
import type { Directory } from "../tests/support/temporary.ts";
import type { Targets } from "./load/target.ts";

/**
 * What a proxy is asked to be: a SOCKS5 server, an HTTP proxy for CONNECT or for plain requests, SOCKS5 inside TLS,
 * HTTP/2 in the clear, a forward of one port to the target, or a SOCKS5 server before one or three further SOCKS5 hops.
 */
export type Role = "socks5" | "http" | "plain" | "tls" | "h2" | "tcp" | "chain1" | "chain3";

/** Where it is to run. */
export interface Place {
  /** It listens here, on 127.0.0.1. */
  readonly port: number;
  /** Free as well, for a second program that stands behind the first. */
  readonly inner: number;
  readonly targets: Targets;
  readonly certificate: Certificate;
  /** For its configuration. */
  readonly directory: Directory;
  /** As many tunnels as it must be able to hold. */
  readonly tunnels: number;
}

/** A program with its arguments. */
export type Command = readonly [program: string, ...args: string[]];

/** A proxy that may take part. */
export interface Contender {
  readonly name: string;
  /** It is Hopline. */
  readonly ours: boolean;
  /** The programs that it needs; it stays away when one is not there. */
  readonly programs: readonly string[];
  /** The scenarios that it is for, by name; without it, all of them. */
  readonly only?: RegExp;
  /** The commands that make it what it is asked to be, the one that others need first. */
  readonly roles: { readonly [role in Role]?: (place: Place) => readonly Command[] };
}

/** The load alone: its clients connect to its own targets. What it reaches is what no proxy could go beyond. */
export const loadAlone: Contender = {
  name: "no proxy: the load alone",
  ours: false,
  programs: [],
  roles: { socks5: () => [], plain: () => [] },
};
