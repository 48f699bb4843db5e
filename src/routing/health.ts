/**
 * Whether a member of a group works, as its dials tell: a member that failed is left alone for a time that doubles,
 * then tried by one dial at a time until it works again.
 *
 * @module
 */
import { type Clock as Time, systemClock as systemTime } from "../core/clock.ts";
import type { Load } from "../core/trail.ts";

/** Time and chance, which tests make up. */
export interface Clock extends Time {
  /** From 0 to 1. */
  random(): number;
}

/** The real ones. */
export const systemClock: Clock = { ...systemTime, random: () => Math.random() };

/** How long a member is left alone after its first failure, and at most, in milliseconds. */
export const backOff = { first: 1000, most: 60_000 };

/** How much the newest dial says about how long dials take. */
const newest = 0.25;

/** One dial through a member; it ends by exactly one of the calls of {@linkcode Health} that take it. */
export interface Trial {
  readonly began: number;
  /** How often the member had failed before. */
  readonly failures: number;
  /** It is the one that tries a member which was left alone. */
  readonly probe: boolean;
}

/** What is known of one member. */
export class Health implements Load {
  tunnels = 0;
  /** How long a dial takes, smoothed; nothing until one has succeeded. */
  dialMs: number | undefined;
  /** When that was measured last. */
  measuredAt = -Infinity;
  /** When it failed last. */
  failedAt = -Infinity;
  /** In a row. */
  #failures = 0;
  /** In all. */
  #failed = 0;
  #retryAt = -Infinity;
  #probing = false;

  constructor(readonly clock: Clock = systemClock) {}

  /** It failed, and nothing has succeeded since. */
  get down(): boolean {
    return this.#failures > 0;
  }

  /** Milliseconds until it may be tried again. */
  get rest(): number {
    return Math.max(0, this.#retryAt - this.clock.now());
  }

  /** It was left alone for long enough, and nobody tries it yet. */
  get due(): boolean {
    return this.down && !this.#probing && this.rest === 0;
  }

  begin(): Trial {
    const probe = this.due;
    if (probe) this.#probing = true;
    return { began: this.clock.now(), failures: this.#failed, probe };
  }

  /** The dial says nothing about the member. */
  pass({ probe }: Trial): void {
    if (probe) this.#probing = false;
  }

  /** The member answered; `true` when it was down. What began before it failed proves nothing. */
  succeed(trial: Trial): boolean {
    this.pass(trial);
    if (!this.down || trial.failures < this.#failed) return false;
    this.#failures = 0;
    return true;
  }

  /** The dial led to its target, and took so long. */
  measure({ began }: Trial): void {
    const now = this.clock.now();
    this.dialMs = this.dialMs === undefined
      ? now - began
      : newest * (now - began) + (1 - newest) * this.dialMs;
    this.measuredAt = now;
  }

  /** The member failed; `true` when it was not down. Dials that were under way together are one failure. */
  fail(trial: Trial): boolean {
    this.pass(trial);
    if (trial.failures < this.#failed) return false;
    this.#failed++;
    const { now, random } = this.clock;
    this.failedAt = now();
    const longest = Math.min(backOff.first * 2 ** this.#failures, backOff.most);
    this.#retryAt = this.failedAt + longest * (0.5 + random() / 2);
    return this.#failures++ === 0;
  }
}

/** The health of the members of one configuration: what is defined alike is the same member, before and after. */
export class Healths {
  readonly #known = new Map<string, Health>();

  constructor(readonly clock: Clock = systemClock) {}

  /** Of a member that is defined by `key`; one that an earlier configuration had keeps what was known of it. */
  of(key: string, earlier?: Healths): Health {
    const health = this.#known.get(key) ?? earlier?.known(key) ?? new Health(this.clock);
    this.#known.set(key, health);
    return health;
  }

  known(key: string): Health | undefined {
    return this.#known.get(key);
  }
}
