/**
 * curl as the client that most tests need: one URL, through one listener, in the dialect that is asked for.
 *
 * @module
 */
import { type Finished, run, type RunOptions } from "./process.ts";

/** How curl is told to use a proxy so that names stay unresolved. */
export const dialects = {
  socks5: (at: string) => ["--socks5-hostname", at],
  socks4: (at: string) => ["--socks4a", at],
  http: (at: string) => ["-p", "-x", `http://${at}`],
} as const;

/** A dialect, and the name of the protocol in Hopline's log. */
export type Dialect = keyof typeof dialects;

/** Fetches `url` through the proxy at `at`; an HTTP proxy's answer to CONNECT precedes the output on failure. */
export function fetchThrough(
  dialect: Dialect,
  at: string,
  url: string,
  more: readonly string[] = [],
  options?: RunOptions,
): Promise<Finished> {
  return run("curl", ["-sS", ...dialects[dialect](at), ...more, url], options);
}
