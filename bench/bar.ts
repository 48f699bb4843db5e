/**
 * The bar: how good Hopline has to be on each runtime, beside its peers in the same run.
 *
 * @module
 */
import { onBun, onDeno, withoutSplice } from "./hopline.ts";
import { bestPeer, type Result, type Row, spread } from "./results.ts";
import { grid } from "./table.ts";

/** Something measured for one contender; `undefined` when the run has no figure for it. */
type Check = (
  results: Results,
  name: string,
) => { readonly what: string; readonly value: number } | undefined;

interface Bar {
  readonly title: string;
  readonly sense: "at most" | "at least";
  readonly bun: number;
  readonly deno: number;
  /** All of them have to be met. */
  readonly checks: readonly Check[];
  /** With the kernel relay, without, or whichever. */
  readonly splice?: boolean;
}

type Results = readonly Result[];

const bulks = ["down-1", "up-1", "both-1", "down-16", "up-16", "both-16"];
const tlsBulks = ["down-1", "up-1", "both-1", "down-16"];

const bars: readonly Bar[] = [
  {
    title: "CPU for each SOCKS5 session, to microsocks",
    sense: "at most",
    bun: 1,
    deno: 1.2,
    checks: [toPeer("sessions-socks5", "microsocks")],
  },
  {
    title: "CPU for each CONNECT session, to tinyproxy",
    sense: "at most",
    bun: 0.8,
    deno: 1,
    checks: [toPeer("sessions-connect", "tinyproxy")],
  },
  {
    title: "bulk CPU for each GB, to the best peer, without splice",
    sense: "at most",
    bun: 0.65,
    deno: 1,
    checks: bulks.map((bulk) => toBest(`bulk-plain-${bulk}`)),
    splice: false,
  },
  {
    title: "the same with splice",
    sense: "at most",
    bun: 0.4,
    deno: 0.5,
    checks: bulks.map((bulk) => toBest(`bulk-plain-${bulk}`)),
    splice: true,
  },
  {
    title: "round trips a second, to the best SOCKS or CONNECT peer",
    sense: "at least",
    bun: 1.15,
    deno: 1,
    checks: [toBest("round-trips", (row) => row.role !== "tcp")],
  },
  {
    title: "bulk CPU for each GB through three hops, to one hop",
    sense: "at most",
    bun: 1.05,
    deno: 1.05,
    checks: [
      toOwn("bulk-chain3-down-1", "bulk-chain1-down-1"),
      toOwn("bulk-chain3-down-16", "bulk-chain1-down-16"),
    ],
  },
  {
    title: "KB for each idle tunnel, fresh and after 32 KiB each way",
    sense: "at most",
    bun: 4,
    deno: 20,
    checks: [absolute("idle", 0), absolute("idle", 1)],
  },
  {
    title: "CPU for each session inside TLS, to HAProxy + microsocks",
    sense: "at most",
    bun: 0.7,
    deno: 0.9,
    checks: [toPeer("sessions-tls", "HAProxy + microsocks")],
  },
  {
    title: "bulk CPU for each GB inside TLS, to HAProxy + microsocks",
    sense: "at most",
    bun: 0.5,
    deno: 0.9,
    checks: tlsBulks.map((bulk) => toPeer(`bulk-tls-${bulk}`, "HAProxy + microsocks")),
  },
];

/** What was measured for each row of the bar, and whether it is met. */
export function barTable(results: Results): string {
  const rows = bars.map((
    bar,
  ) => [bar.title, judge(bar, results, onBun, bar.bun), judge(bar, results, onDeno, bar.deno)]);
  return grid([["the bar", onBun, onDeno], ...rows]);
}

function judge({ sense, checks, splice }: Bar, results: Results, runtime: string, bound: number): string {
  const told = results.some(({ rows }) => rows.some(({ name }) => name === runtime + withoutSplice));
  const wanted = `${sense} ${bound}`;
  if (splice === true && !told) return `${wanted}: not measured`;
  const name = splice === false && told ? runtime + withoutSplice : runtime;
  const found = checks.map((check) => check(results, name));
  if (found.some((one) => one === undefined)) return `${wanted}: not measured`;
  const met = found.every((one) => sense === "at most" ? one!.value <= bound : one!.value >= bound);
  const values = found.map((one) => `${one!.value.toFixed(2)}${checks.length > 1 ? ` ${one!.what}` : ""}`);
  return `${wanted}: ${met ? "met" : "NOT MET"}, ${values.join(", ")}`;
}

function toBest(scenario: string, counts?: (row: Row) => boolean): Check {
  return (results, name) => {
    const result = results.find((one) => one.scenario.name === scenario);
    const best = result && bestPeer(result, result.scenario.metrics[0], counts);
    return ratio(scenario, median(results, scenario, name), best?.median);
  };
}

function toPeer(scenario: string, peer: string): Check {
  return (results, name) => ratio(scenario, median(results, scenario, name), median(results, scenario, peer));
}

function toOwn(scenario: string, other: string): Check {
  return (results, name) => ratio(scenario, median(results, scenario, name), median(results, other, name));
}

function absolute(scenario: string, metric: number): Check {
  return (results, name) => {
    const value = median(results, scenario, name, metric);
    return value === undefined ? undefined : { what: metric === 0 ? "fresh" : "after", value };
  };
}

function ratio(scenario: string, own?: number, other?: number): ReturnType<Check> {
  if (own === undefined || other === undefined) return undefined;
  return { what: scenario.replace(/^bulk-\w+-/, ""), value: own / other };
}

function median(results: Results, scenario: string, name: string, metric = 0): number | undefined {
  const result = results.find((one) => one.scenario.name === scenario);
  const row = result?.rows.find((one) => one.name === name);
  return row && spread(row, result!.scenario.metrics[metric].name)?.median;
}
