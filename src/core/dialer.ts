/**
 * The one idea: reaching a target is a {@linkcode Dialer}, a {@linkcode Hop} turns a dialer into one that
 * goes a hop further, and a chain is a fold over hops.
 *
 * @module
 */
import type { Conn, Context, Endpoint } from "./conn.ts";
import { asProxyError, type Stage } from "./errors.ts";

/** Opens a connection to a target, however far away. */
export interface Dialer {
  /** @throws ProxyError naming the hop, the stage and the cause; or `ctx.signal.reason` once that aborts */
  dial(target: Endpoint, ctx?: Context): Promise<Conn>;
}

/** One step of a chain. */
export interface Hop {
  /** Its name and redacted URL, as error messages and log lines show it. */
  readonly label: string;
  wrap(next: Dialer): Dialer;
}

/** Folds hops over a dialer; errors that pass are placed at the hop that met them, counted from 1. */
export function fold(first: Dialer, hops: readonly Hop[]): Dialer {
  return hops.reduce((dialer, hop, index) => place(hop.wrap(dialer), index + 1, hop.label), first);
}

/** A dialer whose errors say at which hop they arose, unless an earlier hop has said so. */
export function place(dialer: Dialer, hop: number, label: string): Dialer {
  return {
    async dial(target, ctx) {
      try {
        return await dialer.dial(target, ctx);
      } catch (error) {
        throw failedAt(error, "connect").at(hop, label);
      }
    },
  };
}

/** Any thrown value as an error met on the way to the target. */
export function failedAt(error: unknown, stage: Stage) {
  return asProxyError(error, { code: "closed", side: "upstream", stage });
}
