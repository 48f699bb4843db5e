/**
 * A group: a dialer over several dialers, of which one is chosen for each dial, and others when that fails.
 *
 * @module
 */
import type { Conn, Context, Endpoint } from "../core/conn.ts";
import type { Dialer, Forwarding } from "../core/dialer.ts";
import { asProxyError, type ProxyError } from "../core/errors.ts";
import { background } from "../core/handshake.ts";
import { told } from "../core/scope.ts";
import { Trail } from "../core/trail.ts";
import { Attempts } from "./attempts.ts";
import type { Clock, Health, Trial } from "./health.ts";
import { type GroupKind, orderOf } from "./order.ts";
import { speaksOfServer, type Verdict } from "./verdict.ts";

/** One of those that a group chooses among. */
export interface Member {
  /** As the log calls it. */
  readonly name: string;
  readonly health: Health;
  readonly weight: number;
  /** Goes its own way from where `next` leads. */
  wrap(next: Dialer): Dialer;
  /** Whom an error speaks of, where `last` is the position of the last hop on the way. */
  verdict(error: ProxyError, last: number): Verdict;
}

/** What happened to a member; `nextTryMs` is how long it is left alone. */
export type Report = (
  event: "down" | "up",
  facts: { group: string; member: string; reason?: string; nextTryMs?: number },
) => void;

/** What a group is made of. */
export interface GroupOptions {
  readonly kind: GroupKind;
  readonly members: readonly Member[];
  readonly clock: Clock;
  readonly report: Report;
  /** Members that are down are tried by checks, and clients spared. */
  readonly checked?: boolean;
}

/** A member, and the way through it. */
export interface Candidate extends Member {
  readonly dialer: Dialer;
}

/** Chooses among its members anew for each dial. */
export class Group implements Dialer {
  readonly name: string;
  readonly members: readonly Candidate[];
  /** Present when the last hop of a member takes requests of HTTP in absolute form. */
  readonly forward?: (target: Endpoint, ctx?: Context) => Promise<Forwarding>;
  readonly #order: ReturnType<typeof orderOf>;
  /** Errors of the way to the members, which none of them can do anything about. */
  readonly #before = new WeakSet<ProxyError>();

  constructor(readonly options: GroupOptions, next: Dialer) {
    const { kind, members, clock } = options;
    const entry: Dialer = { dial: (server, ctx) => this.#enter(next, server, ctx) };
    this.name = groupName(kind, members);
    this.members = members.map((member) => ({ ...member, dialer: member.wrap(entry) }));
    this.#order = orderOf(kind, clock);
    if (this.members.some(({ dialer }) => dialer.forward)) {
      this.forward = (target, ctx = background) =>
        new Attempts(
          this,
          ctx,
          (member, ctx) => forwardBy(member.dialer, target, ctx),
          ({ conn }) => conn.close(),
        ).result;
    }
  }

  dial(target: Endpoint, ctx: Context = background): Promise<Conn> {
    return new Attempts(this, ctx, ({ dialer }, ctx) => dialer.dial(target, ctx), (conn) => conn.close())
      .result;
  }

  /** The order of one dial. */
  order(): Candidate[] {
    return this.#order(this.members);
  }

  /** Whom the error speaks of; `null` when it is none of the members. */
  verdict(member: Member, error: ProxyError, last: number): Verdict | null {
    return this.#before.has(error) ? null : member.verdict(error, last);
  }

  succeeded({ name, health }: Member, trial: Trial): void {
    if (health.succeed(trial)) this.options.report("up", { group: this.name, member: name });
  }

  failed({ name, health }: Member, trial: Trial, reason: string): void {
    if (!health.fail(trial)) return;
    const nextTryMs = Math.round(health.rest);
    this.options.report("down", { group: this.name, member: name, reason, nextTryMs });
  }

  /** The way to a member: the errors that arise before its server is reached are not its own. */
  async #enter(next: Dialer, server: Endpoint, ctx: Context = background): Promise<Conn> {
    const trail = ctx.trail ?? new Trail();
    const behind = trail.via.length;
    try {
      return await next.dial(server, ctx.trail === undefined ? told(ctx, { trail }) : ctx);
    } catch (error) {
      const failure = asProxyError(error, { code: "failed", side: "upstream", stage: "connect" });
      if (!speaksOfServer(failure, trail.via.length - behind)) this.#before.add(failure);
      throw failure;
    }
  }
}

/** `failover(near, far)`. */
export function groupName(kind: GroupKind, members: readonly Pick<Member, "name">[]): string {
  return `${kind}(${members.map(({ name }) => name).join(", ")})`;
}

async function forwardBy(dialer: Dialer, target: Endpoint, ctx: Context): Promise<Forwarding> {
  if (dialer.forward !== undefined) return await dialer.forward(target, ctx);
  return { conn: await dialer.dial(target, ctx), tunnel: true };
}
