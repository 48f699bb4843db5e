/**
 * A server in the test's own process, with its log at hand.
 *
 * @module
 */
import type { Endpoint } from "../../src/core/conn.ts";
import {
  type ConfigInput,
  type Fields,
  type Level,
  serve,
  type Server,
  type ServerOptions,
} from "../../mod.ts";
import { eventually } from "../support/process.ts";

/** One event of the log. */
export interface LogEvent {
  readonly level: Level;
  readonly event: string;
  // deno-lint-ignore no-explicit-any -- a field is read by name, and an absent one fails the assertion
  readonly fields: Fields & Record<string, any>;
}

/** A server under test. */
export interface Serving extends AsyncDisposable {
  readonly server: Server;
  /** The first listener's address. */
  readonly at: Endpoint;
  readonly events: readonly LogEvent[];
  /** Waits for the `n`th event (from 1) of this name. */
  logged(event: string, n?: number): Promise<LogEvent>;
}

/** Serves a configuration whose listener is `127.0.0.1:0` unless it says otherwise. */
export async function serving(
  config: ConfigInput = {},
  options: Pick<ServerOptions, "dialer"> = {},
): Promise<Serving> {
  const events: LogEvent[] = [];
  const server = await serve({ listeners: ["127.0.0.1:0"], ...config }, {
    ...options,
    log: (level, event, fields = {}) => void events.push({ level, event, fields }),
  });
  return {
    server,
    at: server.addresses[0],
    events,
    logged: (event, n = 1) =>
      eventually(
        () => `event ${n} called ${event} in ${JSON.stringify(events)}`,
        () => events.filter((entry) => entry.event === event)[n - 1],
      ),
    [Symbol.asyncDispose]: () => server.close(0),
  };
}
