/**
 * Results as Markdown that reads well on a terminal, too.
 *
 * @module
 */
import { bestPeer, isProxy, type Result, type Row, spread } from "./results.ts";

/** A table for each scenario. */
export function tables(results: readonly Result[]): string {
  return results.map((result) => `### ${result.scenario.title}\n\n${tableOf(result)}`).join("\n");
}

function tableOf(result: Result): string {
  const { metrics } = result.scenario;
  const [first, ...others] = metrics;
  const best = bestPeer(result, first);
  const ratio = (row: Row) => {
    const own = spread(row, first.name);
    return own && best && isProxy(row) ? (own.median / best.median).toFixed(2) : "";
  };
  const cells = result.rows.filter(({ rounds }) => rounds.length > 0).map((row) => {
    const [number, ...numbers] = metrics.map(({ name, digits }) => {
      const found = spread(row, name);
      if (found === undefined) return "";
      const [median, min, max] = [found.median, found.min, found.max].map((n) => n.toFixed(digits));
      return row.rounds.length > 1 && !name.endsWith("%") ? `${median} (${min} to ${max})` : median;
    });
    return [row.name, number, ratio(row), ...numbers];
  });
  const titles = ["proxy", first.name, "to the best peer", ...others.map(({ name }) => name)];
  return grid([titles, ...cells]) + failures(result.rows);
}

function failures(rows: readonly Row[]): string {
  const lines = rows.filter(({ failure }) => failure !== undefined).map(({ name, rounds, failure }) => {
    const missing = rounds.length > 0 ? "failed in some rounds" : "failed";
    return `\n${name} ${missing}: ${failure!.replace(/\s+/g, " ").slice(-300)}\n`;
  });
  return lines.join("");
}

/** Rows of cells, the first row being the titles, aligned. */
export function grid(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]) =>
    `| ${widths.map((width, column) => (row[column] ?? "").padEnd(width)).join(" | ")} |\n`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |\n`;
  return line(rows[0]) + rule + rows.slice(1).map(line).join("");
}
