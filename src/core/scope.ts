/**
 * Scopes: how work is cut short, by whoever asked for it or by the clock.
 *
 * They do for thousands of tunnels what AbortSignals do, at a fraction of the price: a tree whose branches come off
 * again in no time. A real signal is made for whoever asks for one.
 *
 * @module
 */
import { Alarm } from "./alarm.ts";
import type { Client, Context, Guard, Outgoing } from "./conn.ts";
import { ProxyError } from "./errors.ts";
import type { Trace } from "./trace.ts";
import type { Trail } from "./trail.ts";

/** What a context tells besides when to stop. */
type Facts = Omit<Context, "signal">;

const nothing: Facts = {};

/** What can be cut short: a connection, or whatever waits for something. */
export interface Abortable {
  abort(reason: unknown): void;
}

/** A context within another one. It has to be left when its work is over. */
export class Scope implements Context {
  readonly #facts: Facts;
  #aborted = false;
  #reason: unknown;
  #parent: Scope | null = null;
  #previous: Scope | null = null;
  #next: Scope | null = null;
  /** The youngest of those within this one. */
  #youngest: Scope | null = null;
  #alarm: Alarm | null = null;
  #limit = 0;
  #controller: AbortController | null = null;
  #unlisten: (() => void) | null = null;

  /**
   * @param work is aborted when the scope is, and at once when the parent has been
   * @param facts what those within are told besides what the parent tells
   */
  constructor(
    parent?: Context,
    readonly work: Abortable | null = null,
    facts?: Facts,
  ) {
    const told = parent instanceof Scope ? parent.#facts : parent ?? nothing;
    this.#facts = facts === undefined ? told : {
      outgoing: facts.outgoing ?? told.outgoing,
      client: facts.client ?? told.client,
      guard: facts.guard ?? told.guard,
      trail: facts.trail ?? told.trail,
      trace: facts.trace ?? told.trace,
    };
    if (parent instanceof Scope) this.#enter(parent);
    else if (parent instanceof Told) this.#enter(parent.scope);
    else if (parent !== undefined) this.#listen(parent.signal);
  }

  get outgoing(): Outgoing | undefined {
    return this.#facts.outgoing;
  }

  get client(): Client | undefined {
    return this.#facts.client;
  }

  get guard(): Guard | undefined {
    return this.#facts.guard;
  }

  get trail(): Trail | undefined {
    return this.#facts.trail;
  }

  get trace(): Trace | undefined {
    return this.#facts.trace;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  /** The same as a signal of the platform's. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  /** Aborts after `ms`, unless it is left before. */
  limit(ms: number): this {
    this.#limit = ms;
    if (!this.#aborted) this.#alarm = new Alarm(ms, this);
    return this;
  }

  /** The time is up. */
  wake(): void {
    this.abort(
      new ProxyError(`timed out after ${seconds(this.#limit)}`, {
        code: "timeout",
        side: "local",
        stage: "connect",
      }),
    );
  }

  /** Ends the work and everything within. */
  abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    this.leave();
    this.work?.abort(reason);
    while (this.#youngest !== null) this.#youngest.abort(reason);
    this.#controller?.abort(reason);
  }

  /** The work is over: neither the parent nor the clock aborts it any more. */
  leave(): void {
    this.#alarm?.cancel();
    this.#alarm = null;
    this.#unlisten?.();
    this.#unlisten = null;
    const parent = this.#parent;
    if (parent === null) return;
    this.#parent = null;
    if (this.#next === null) parent.#youngest = this.#previous;
    else this.#next.#previous = this.#previous;
    if (this.#previous !== null) this.#previous.#next = this.#next;
    this.#previous = this.#next = null;
  }

  #enter(parent: Scope): void {
    if (parent.#aborted) return this.abort(parent.#reason);
    this.#parent = parent;
    this.#previous = parent.#youngest;
    if (parent.#youngest !== null) parent.#youngest.#next = this;
    parent.#youngest = this;
  }

  #listen(signal: AbortSignal): void {
    if (signal.aborted) return this.abort(signal.reason);
    const abort = () => this.abort(signal.reason);
    signal.addEventListener("abort", abort);
    this.#unlisten = () => signal.removeEventListener("abort", abort);
  }
}

/** A scope as it is known to those who are told something else besides. */
class Told implements Context {
  readonly outgoing?: Outgoing;
  readonly client?: Client;
  readonly guard?: Guard;
  readonly trail?: Trail;
  readonly trace?: Trace;

  constructor(readonly scope: Scope, { outgoing, client, guard, trail, trace }: Facts) {
    this.outgoing = outgoing;
    this.client = client;
    this.guard = guard;
    this.trail = trail;
    this.trace = trace;
  }

  get signal(): AbortSignal {
    return this.scope.signal;
  }
}

/** The same context, telling `facts` too. A copy would lack the signal, which is only made when it is asked for. */
export function told(ctx: Context, facts: Facts): Context {
  const { outgoing, client, guard, trail, trace } = ctx;
  const all = { outgoing, client, guard, trail, trace, ...facts };
  if (ctx instanceof Scope) return new Told(ctx, all);
  return ctx instanceof Told ? new Told(ctx.scope, all) : { signal: ctx.signal, ...all };
}

/** What `work` comes to, or the reason of `ctx` when that is aborted first: the work is left behind, not ended. */
export async function unlessAborted<T>(work: Promise<T>, ctx: Context): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const scope = new Scope(ctx, { abort: reject });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    scope.leave();
  }
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}
