/**
 * What a dial tells of itself as it goes on, for those who ask.
 *
 * @module
 */
import type { Context } from "./conn.ts";
import type { Stage } from "./errors.ts";
import { told } from "./scope.ts";

/** What a step has found out: addresses, the TLS version, whose certificate. */
export type Facts = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** One step of a dial, from its beginning; its end is told exactly once. */
export interface TraceStep {
  done(facts?: Facts): void;
  failed(error: unknown, facts?: Facts): void;
}

/** Is told of each step of a dial, at the hop that takes it. */
export interface Trace {
  /** The same trace, for the steps that lead to a hop and through it; its position may be known only in the end. */
  at(position: () => number, label: string): Trace;
  /** A step begins; `subject` is what it is about: a name, an address, a message. */
  begin(stage: Stage, subject: string): TraceStep;
}

/** Does a step of a dial, and tells the trace, if there is one. */
export async function traced<T>(
  { trace }: Context,
  stage: Stage,
  subject: string,
  work: () => Promise<T>,
  facts?: (result: T) => Facts,
): Promise<T> {
  if (trace === undefined) return await work();
  const step = trace.begin(stage, subject);
  try {
    const result = await work();
    step.done(facts?.(result));
    return result;
  } catch (error) {
    step.failed(error);
    throw error;
  }
}

/** The context of a dial at a hop: its trace, if there is one, knows the place. */
export function tracedAt(
  ctx: Context | undefined,
  position: () => number,
  label: string,
): Context | undefined {
  return ctx?.trace === undefined ? ctx : told(ctx, { trace: ctx.trace.at(position, label) });
}
