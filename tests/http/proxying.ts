/**
 * Hopline as an HTTP proxy in the test's own process.
 *
 * @module
 */
import type { Endpoint } from "../../src/core/conn.ts";
import {
  type ConfigInput,
  type Dialer,
  type Fields,
  serve,
  type Server,
  type ServerOptions,
} from "../../mod.ts";
import { eventually } from "../support/process.ts";
import { Talk } from "./talk.ts";

/** One event of the log. */
export interface Entry {
  readonly event: string;
  // deno-lint-ignore no-explicit-any -- a field is read by name, and an absent one fails the assertion
  readonly fields: Fields & Record<string, any>;
}

/** A proxy under test. */
export interface Proxy extends AsyncDisposable {
  readonly server: Server;
  readonly at: Endpoint;
  readonly entries: readonly Entry[];
  /** A connection to it. */
  client(): Promise<Talk>;
  /** Waits for the `n`th entry (from 1) of this event. */
  logged(event: string, n?: number): Promise<Entry["fields"]>;
}

/** Starts one that listens on `127.0.0.1:0` unless the configuration says otherwise. */
export async function proxy(
  config: ConfigInput = {},
  options: Pick<ServerOptions, "dialer"> = {},
): Promise<Proxy> {
  const entries: Entry[] = [];
  const server = await serve({ listeners: ["127.0.0.1:0"], ...config }, {
    ...options,
    log: (_level, event, fields = {}) => void entries.push({ event, fields }),
  });
  const [at] = server.addresses;
  return {
    server,
    at,
    entries,
    client: () => Talk.to(at),
    logged: (event, n = 1) =>
      eventually(
        () => `entry ${n} called ${event} in ${JSON.stringify(entries)}`,
        () => entries.filter((entry) => entry.event === event)[n - 1]?.fields,
      ),
    [Symbol.asyncDispose]: () => server.close(0),
  };
}

/** A way that is never found, and why it was given up. */
export function nowhere() {
  const given = Promise.withResolvers<unknown>();
  const asked = Promise.withResolvers<void>();
  const dialer: Dialer = {
    dial: (_target, ctx) =>
      new Promise((_, reject) => {
        asked.resolve();
        ctx!.signal.addEventListener("abort", () => {
          given.resolve(ctx!.signal.reason);
          reject(ctx!.signal.reason);
        });
      }),
  };
  return { dialer, asked: asked.promise, given: given.promise };
}
