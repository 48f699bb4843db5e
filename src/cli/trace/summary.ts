/**
 * Several traces of one way, summed up: the least, the middle and the most that each step took.
 *
 * @module
 */
import type { RecordedStep } from "./recorder.ts";
import type { Traced } from "./run.ts";

/** The times of one step over all runs, in milliseconds. */
export interface Spread {
  readonly n: number;
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** A step as all runs saw it. */
export interface StepSpread extends Spread, Pick<RecordedStep, "hop" | "label" | "stage"> {}

/** What several runs have in common. */
export interface Summary {
  readonly runs: number;
  readonly failed: number;
  readonly steps: readonly StepSpread[];
  /** Of the runs that reached the target. */
  readonly total?: Spread;
}

/** Sums up; the steps of a run that count are those that succeeded. */
export function summarize(runs: readonly Traced[]): Summary {
  const steps = new Map<string, { of: RecordedStep; times: number[] }>();
  for (const of of runs.flatMap(({ steps }) => steps)) {
    if (of.durationMs === undefined || of.error !== undefined) continue;
    const key = `${of.hop} ${of.label} ${of.stage}`;
    const entry = steps.get(key) ?? { of, times: [] };
    steps.set(key, entry);
    entry.times.push(of.durationMs);
  }
  const reached = runs.filter(({ error }) => error === undefined);
  return {
    runs: runs.length,
    failed: runs.length - reached.length,
    steps: [...steps.values()].map(({ of: { hop, label, stage }, times }) => ({
      hop,
      label,
      stage,
      ...spread(times),
    })),
    ...(reached.length > 0 && { total: spread(reached.map(({ totalMs }) => totalMs)) }),
  };
}

function spread(times: readonly number[]): Spread {
  const sorted = times.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  return { n: sorted.length, min: sorted[0], median, max: sorted[sorted.length - 1] };
}
