/**
 * What the rounds have yielded.
 *
 * @module
 */
import { loadAlone, type Role } from "./contender.ts";
import type { Metric, Scenario, Values } from "./scenarios.ts";

/** A median and how far the rounds lay apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One contender in one scenario. */
export interface Row {
  readonly name: string;
  readonly ours: boolean;
  readonly role: Role;
  readonly rounds: Values[];
  /** Why rounds are missing. */
  failure?: string;
}

/** One scenario. */
export interface Result {
  readonly scenario: Scenario;
  readonly rows: Row[];
}

/** Median, least and most of a metric; `undefined` when no round yielded it. */
export function spread(row: Row, metric: string): Spread | undefined {
  const sorted = row.rounds.map((values) => values[metric]).filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1)! };
}

/** It is not the load alone. */
export function isProxy({ name }: Row): boolean {
  return name !== loadAlone.name;
}

/** The best median among the peers that `counts`: neither Hopline nor the load alone. */
export function bestPeer(
  { rows }: Result,
  { name, better }: Metric,
  counts: (row: Row) => boolean = () => true,
): { readonly row: Row; readonly median: number } | undefined {
  return rows.filter((row) => !row.ours && isProxy(row) && counts(row))
    .flatMap((row) => {
      const found = spread(row, name);
      return found === undefined ? [] : [{ row, median: found.median }];
    })
    .sort((a, b) => better === "less" ? a.median - b.median : b.median - a.median)[0];
}

/** Everything as plain data, to be kept. */
export function asData(results: readonly Result[]): unknown {
  return results.map(({ scenario, rows }) => ({
    name: scenario.name,
    title: scenario.title,
    rows: rows.map((row) => ({
      name: row.name,
      role: row.role,
      failure: row.failure,
      metrics: Object.fromEntries(scenario.metrics.map(({ name }) => [name, spread(row, name)])),
      rounds: row.rounds,
    })),
  }));
}
