/**
 * Active checks: dials through the members of a group, so that clients need not find out.
 *
 * @module
 */
import type { Endpoint } from "../core/conn.ts";
import { asProxyError } from "../core/errors.ts";
import { Trail } from "../core/trail.ts";
import type { Candidate, Group } from "./group.ts";

/** What is checked, and how often. */
export interface Check {
  /** A connection to it is made through each member, and closed. */
  readonly target: Endpoint;
  /** Milliseconds between two checks of a member that works. */
  readonly every: number;
}

/** How often to look whether a member that is down may be tried again. */
const look = 1000;

/** Checks the members until `retired` aborts: at once, then in their time; those that are down as their back-off says. */
export function keepChecking(group: Group, check: Check, retired: AbortSignal): void {
  for (const member of group.members) new Checks(group, member, check, retired).start();
}

class Checks {
  #due = -Infinity;
  #cancel = () => {};

  constructor(
    readonly group: Group,
    readonly member: Candidate,
    readonly check: Check,
    readonly retired: AbortSignal,
  ) {}

  start(): void {
    this.retired.addEventListener("abort", () => this.#cancel());
    this.#wait(0);
  }

  #wait(ms: number): void {
    if (this.retired.aborted) return;
    this.#cancel = this.group.options.clock.after(ms, async () => {
      const { health } = this.member;
      const { now, random } = this.group.options.clock;
      if (health.down ? health.due : now() >= this.#due) {
        await this.#check();
        // Not all at once, however many there are.
        this.#due = now() + this.check.every * (0.9 + random() / 5);
      }
      this.#wait(Math.min(look, this.check.every));
    });
  }

  async #check(): Promise<void> {
    const { group, member, retired } = this;
    const trial = member.health.begin();
    const trail = new Trail();
    try {
      const conn = await member.dialer.dial(this.check.target, { signal: retired, trail });
      conn.close();
      member.health.measure(trial);
      group.succeeded(member, trial);
    } catch (thrown) {
      const error = asProxyError(thrown, { code: "failed", side: "upstream", stage: "connect" });
      const verdict = group.verdict(member, error, trail.via.length);
      if (retired.aborted || verdict === null) member.health.pass(trial);
      else group.failed(member, trial, `check: ${error.stage}: ${error.message} [${error.code}]`);
    }
  }
}
