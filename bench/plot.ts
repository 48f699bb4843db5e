/**
 * Results as one SVG picture: a panel for each scenario, a bar for each contender's median, a line from least to most.
 *
 * @module
 */
import { isProxy, type Result, type Row, spread } from "./results.ts";

const panel = { width: 420, label: 160, bar: 14, gap: 5, head: 34, foot: 18 };
const colours = { ours: "#c2410c", peer: "#64748b", text: "#1e293b", spread: "#0f172a" };

/** The picture; scenarios in which nothing was measured are left out. */
export function plot(results: readonly Result[]): string {
  const panels = results.map(({ scenario, rows }) => ({
    scenario,
    rows: rows.filter((row) => isProxy(row) && row.rounds.length > 0),
  })).filter(({ rows }) => rows.length > 0);
  const heights = [0, 0];
  const drawn = panels.map((one) => {
    const column = heights[0] <= heights[1] ? 0 : 1;
    const at = `translate(${20 + column * (panel.width + 30)} ${heights[column] + 10})`;
    heights[column] += panel.head + panel.foot + one.rows.length * (panel.bar + panel.gap);
    return `<g transform="${at}">${draw(one)}</g>\n`;
  });
  const size = `width="${panel.width * 2 + 70}" height="${Math.max(...heights) + 20}"`;
  const font = `font-family="system-ui, sans-serif" font-size="11" fill="${colours.text}"`;
  const ground = `<rect width="100%" height="100%" fill="white"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${font}>\n${ground}\n${drawn.join("")}</svg>\n`;
}

function draw({ scenario, rows }: Result): string {
  const [metric] = scenario.metrics;
  const found = rows.map((row) => [row, spread(row, metric.name)!] as const)
    .sort(([, a], [, b]) => metric.better === "less" ? a.median - b.median : b.median - a.median);
  const most = Math.max(...found.map(([, { max }]) => max), Number.MIN_VALUE);
  const scale = (n: number) => Math.max(0, n / most * (panel.width - panel.label - 60));
  const title = `<text y="14" font-size="13" font-weight="bold">${escape(scenario.title)}</text>` +
    `<text y="28">${escape(metric.name)}, ${metric.better} is better</text>`;
  return title + found.map(([row, { median, min, max }], index) => {
    const y = panel.head + index * (panel.bar + panel.gap);
    const middle = y + panel.bar / 2;
    return text(panel.label - 6, middle, row.name, "end") +
      `<rect x="${panel.label}" y="${y}" width="${scale(median).toFixed(1)}" height="${panel.bar}" fill="${
        colour(row)
      }"/>` +
      `<path d="M${(panel.label + scale(min)).toFixed(1)} ${middle}H${
        (panel.label + scale(max)).toFixed(1)
      }" stroke="${colours.spread}"/>` +
      text(panel.label + scale(max) + 6, middle, median.toFixed(metric.digits), "start");
  }).join("");
}

function colour({ ours }: Row): string {
  return ours ? colours.ours : colours.peer;
}

function text(x: number, middle: number, content: string, anchor: "start" | "end"): string {
  return `<text x="${x.toFixed(1)}" y="${middle + 4}" text-anchor="${anchor}">${escape(content)}</text>`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
