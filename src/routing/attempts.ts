/**
 * One dial over the members of a group: one after another where they fail, side by side where they say nothing.
 *
 * @module
 */
import type { Context } from "../core/conn.ts";
import { asProxyError, ProxyError } from "../core/errors.ts";
import { type Abortable, Scope, told } from "../core/scope.ts";
import { Trail } from "../core/trail.ts";
import type { Candidate, Group } from "./group.ts";
import type { Trial } from "./health.ts";

/** How long a member may keep silent before another one gets its chance too: four times as long as it is used to. */
const patience = { times: 4, least: 1000, most: 2500 };

interface Attempt {
  readonly member: Candidate;
  readonly trial: Trial;
  readonly trail: Trail;
  readonly scope: Scope;
  /** It has been silent for so long that another one was tried. */
  overdue?: string;
}

/** A failure that is worth telling, should there be nothing better. */
interface Failure {
  readonly error: ProxyError;
  readonly trail: Trail;
  /** How much it says: of the target more than of a member. */
  readonly rank: number;
}

/** Tries members until one succeeds, one says that the target is at fault, or none is left. */
export class Attempts<T> implements Abortable {
  readonly result: Promise<T>;
  readonly #settle: { resolve(value: T): void; reject(error: unknown): void };
  readonly #untried: Set<Candidate>;
  readonly #running = new Set<Attempt>();
  /** Those that said no, which is their own fault if another one can. */
  readonly #refusals: { attempt: Attempt; error: ProxyError }[] = [];
  #scope: Scope | undefined;
  #latest: Attempt | undefined;
  #failure: Failure | undefined;
  #stopWaiting = () => {};
  #over = false;

  constructor(
    readonly group: Group,
    readonly ctx: Context,
    readonly attempt: (member: Candidate, ctx: Context) => Promise<T>,
    /** What becomes of a success that comes too late. */
    readonly discard: (value: T) => void,
  ) {
    const { promise, ...settle } = Promise.withResolvers<T>();
    this.result = promise;
    this.#settle = settle;
    this.#untried = new Set(group.order());
    const scope = new Scope(ctx, this);
    this.#scope = scope;
    if (!scope.aborted) this.#next();
  }

  /** Nobody waits for it any more. */
  abort(reason: unknown): void {
    this.#fail(reason);
  }

  /** Tries the best of those that are left. */
  #next(): void {
    this.#stopWaiting();
    const member = this.#best();
    if (member !== undefined) return this.#start(member);
    if (this.#running.size > 0) return;
    const { error, trail } = this.#failure!;
    this.ctx.trail?.follow(trail);
    this.#fail(error);
  }

  /** The first that works, or that it is time to try again; else the one that failed longest ago. */
  #best(): Candidate | undefined {
    const { checked } = this.group.options;
    const left = [...this.#untried];
    return left.find(({ health }) => !health.down || (health.due && !checked)) ??
      left.sort((a, b) => a.health.failedAt - b.health.failedAt)[0];
  }

  #start(member: Candidate): void {
    this.#untried.delete(member);
    const trail = new Trail();
    trail.keepBusy(member.health);
    const scope = new Scope(this.#scope);
    const attempt: Attempt = { member, trial: member.health.begin(), trail, scope };
    this.#running.add(attempt);
    this.#latest = attempt;
    const { dialMs = patience.most } = member.health;
    const wait = Math.min(Math.max(patience.times * dialMs, patience.least), patience.most);
    if (this.#untried.size > 0) {
      this.#stopWaiting = this.group.options.clock.after(wait, () => {
        attempt.overdue = `no answer within ${Math.round(wait)} ms, and another member had one`;
        this.#next();
      });
    }
    this.attempt(member, told(scope, { trail })).then(
      (value) => this.#succeeded(attempt, value),
      (error) => this.#failed(attempt, error),
    );
  }

  #succeeded(attempt: Attempt, value: T): void {
    const { member, trial, trail } = attempt;
    if (this.#over) {
      this.discard(value);
      return trail.leave();
    }
    this.#running.delete(attempt);
    attempt.scope.leave();
    member.health.measure(trial);
    this.group.succeeded(member, trial);
    for (const { attempt: { member, trial }, error } of this.#refusals.splice(0)) {
      this.group.failed(member, trial, reasonOf(error));
    }
    for (const late of this.#running) {
      if (late.overdue !== undefined) this.group.failed(late.member, late.trial, late.overdue);
      else late.member.health.pass(late.trial);
    }
    trail.handTo(this.ctx.trail);
    this.#finish(unneeded());
    this.#settle.resolve(value);
  }

  #failed(attempt: Attempt, thrown: unknown): void {
    const { member, trial, trail } = attempt;
    trail.leave();
    attempt.scope.leave();
    if (this.#over) return;
    this.#running.delete(attempt);
    const error = asProxyError(thrown, { code: "failed", side: "upstream", stage: "connect" });
    const verdict = this.group.verdict(member, error, trail.via.length);
    if (verdict === "target" || verdict === null) {
      if (verdict === "target") this.group.succeeded(member, trial);
      else member.health.pass(trial);
      this.ctx.trail?.follow(trail);
      return this.#fail(error);
    }
    if (verdict === "member") this.group.failed(member, trial, reasonOf(error));
    else if (verdict === "elsewhere") member.health.pass(trial);
    else this.#refusals.push({ attempt, error });
    const rank = ["member", "elsewhere", "unclear"].indexOf(verdict);
    if (this.#failure === undefined || rank >= this.#failure.rank) this.#failure = { error, trail, rank };
    // While others run, the next one has its turn already, or comes when the latest of them is overdue.
    if (this.#running.size === 0 || this.#latest === attempt) this.#next();
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    for (const { member, trial } of this.#running) member.health.pass(trial);
    this.#finish(error);
    this.#settle.reject(error);
  }

  #finish(reason: unknown): void {
    this.#over = true;
    this.#stopWaiting();
    this.#scope?.leave();
    // Nothing became known of these members.
    for (const { attempt: { member, trial } } of this.#refusals) member.health.pass(trial);
    for (const { scope } of this.#running) scope.abort(reason);
  }
}

function unneeded(): ProxyError {
  return new ProxyError("another member was faster", { code: "closed", side: "local", stage: "connect" });
}

function reasonOf({ code, message, stage }: ProxyError): string {
  return `${stage}: ${message} [${code}]`;
}
