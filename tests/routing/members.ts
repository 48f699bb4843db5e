/**
 * Groups over dialers without a network: a test says how every dial ends.
 *
 * @module
 */
import type { Conn, Context, Endpoint } from "../../src/core/conn.ts";
import { type Dialer, place } from "../../src/core/dialer.ts";
import { type ErrorCode, ProxyError, type Side, type Stage } from "../../src/core/errors.ts";
import { unlessAborted } from "../../src/core/scope.ts";
import { Group, type GroupOptions, type Member } from "../../src/routing/group.ts";
import { Health } from "../../src/routing/health.ts";
import { ofHops } from "../../src/routing/verdict.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { FakeConn } from "../support/fake_conn.ts";

export const target: Endpoint = { hostname: "target.example", port: 443 };

/** How a dial ends: with a connection, with an error, or not for now. */
export type Outcome = "ok" | ProxyError | Promise<void>;

/** An error as a hop throws it, before it is placed. */
export function fault(
  code: ErrorCode,
  stage: Stage = "connect",
  side: Side = "upstream",
  message: string = code,
): ProxyError {
  return new ProxyError(message, { code, stage, side });
}

/** What every hop that a test knows says to a client that has no business there. */
export const faults = {
  refuses: fault("refused"),
  garbage: fault("protocol", "request"),
  resets: fault("closed", "auth"),
  forbids: fault("denied", "request"),
  gone: fault("refused", "request", "target"),
};

/** A hop whose dials end as a script says: one outcome for each, the last one from then on. */
export class ScriptedHop {
  readonly conns: FakeConn[] = [];
  readonly signals: AbortSignal[] = [];
  readonly contexts: Context[] = [];
  readonly asked: Endpoint[] = [];
  outcomes: Outcome[];

  constructor(readonly name: string, ...outcomes: Outcome[]) {
    this.outcomes = outcomes.length === 0 ? ["ok"] : outcomes;
  }

  get dials(): number {
    return this.signals.length;
  }

  wrap(next: Dialer): Dialer {
    return place(
      {
        dial: async (target, ctx) => {
          this.signals.push(ctx!.signal);
          this.contexts.push(ctx!);
          this.asked.push(target);
          const outcome = this.outcomes.length > 1 ? this.outcomes.shift()! : this.outcomes[0];
          if (outcome instanceof ProxyError && outcome.stage === "connect") throw outcome;
          await next.dial({ hostname: `${this.name}.example`, port: 1080 }, ctx);
          if (outcome instanceof ProxyError) throw outcome;
          if (outcome !== "ok") await unlessAborted(outcome, ctx!);
          const conn = new FakeConn();
          this.conns.push(conn);
          return conn;
        },
      },
      0,
      `socks5://${this.name}.example`,
      this.name,
    );
  }
}

/** Connects, without a network. */
export const network: Dialer = { dial: () => Promise.resolve<Conn>(new FakeConn()) };

/** A group under test, and what it reported: `down a`, `up a`. */
export interface Tested {
  readonly group: Group;
  readonly clock: FakeClock;
  readonly reports: string[];
  readonly health: Readonly<Record<string, Health>>;
}

export function groupOf(
  kind: GroupOptions["kind"],
  hops: readonly Pick<ScriptedHop, "name" | "wrap">[],
  { next = network, clock = new FakeClock(), weights = [], ...options }: Partial<GroupOptions> & {
    next?: Dialer;
    clock?: FakeClock;
    weights?: readonly number[];
  } = {},
): Tested {
  const reports: string[] = [];
  const members = hops.map((hop, index): Member => ({
    name: hop.name,
    health: new Health(clock),
    weight: weights[index] ?? 1,
    wrap: (next) => hop.wrap(next),
    verdict: ofHops,
  }));
  const group = new Group({
    kind,
    members,
    clock,
    report: (event, { member }) => void reports.push(`${event} ${member}`),
    ...options,
  }, next);
  return {
    group,
    clock,
    reports,
    health: Object.fromEntries(members.map(({ name, health }) => [name, health])),
  };
}
