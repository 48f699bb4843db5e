/**
 * The bandwidths that a configuration sets: one for each user that has logged in, and one for each listener.
 *
 * @module
 */
import type { Config } from "./config/schema.ts";
import { Bandwidth } from "./core/throttle.ts";

type ByName = Map<string, Bandwidth>;

/** What one configuration limits. What an earlier one has limited in the same way goes on as it is. */
export class Bandwidths {
  readonly #users: ByName;
  readonly #listeners: ByName = new Map();
  readonly #earlier: ByName;

  constructor(
    /** Bytes a second of each user, on whatever listener. */
    readonly perUser: number | undefined,
    earlier?: Bandwidths,
  ) {
    this.#users = earlier !== undefined && earlier.perUser === perUser ? earlier.#users : new Map();
    this.#earlier = earlier === undefined ? new Map() : earlier.#listeners;
  }

  /** What says of each user which bandwidths he is within; nothing for a listener where nobody is within any. */
  of(listener: string, rate?: number): ((user?: string) => readonly Bandwidth[]) | undefined {
    const { perUser } = this;
    const all = rate === undefined ? [] : [this.#ofListener(listener, rate)];
    if (perUser === undefined) return rate === undefined ? undefined : () => all;
    return (user) => user === undefined ? all : [this.#ofUser(user, perUser), ...all];
  }

  #ofListener(name: string, rate: number): Bandwidth {
    const earlier = this.#earlier.get(name);
    const bandwidth = earlier?.rate === rate ? earlier : new Bandwidth(rate);
    this.#listeners.set(name, bandwidth);
    return bandwidth;
  }

  #ofUser(name: string, rate: number): Bandwidth {
    let bandwidth = this.#users.get(name);
    if (bandwidth === undefined) this.#users.set(name, bandwidth = new Bandwidth(rate));
    return bandwidth;
  }
}

/** The configuration of one of `parts` servers that serve it together: all of them never move more than it says. */
export function withPartOfBandwidths(config: Config, parts: number): Config {
  const part = (rate: number | undefined) => rate && Math.max(1, Math.floor(rate / parts));
  const { limits, listeners } = config;
  return {
    ...config,
    limits: { ...limits, bandwidthPerUser: part(limits.bandwidthPerUser) },
    listeners: listeners.map((listener) => ({ ...listener, bandwidth: part(listener.bandwidth) })),
  };
}
