/**
 * A trace as a picture of the way, in 80 columns.
 *
 * @module
 */
import { bold, dim, green, red, yellow } from "@std/fmt/colors";
import type { ProxyError, Stage } from "../../core/errors.ts";
import type { Facts } from "../../core/trace.ts";
import { adviceFor } from "./advice.ts";
import type { RecordedStep } from "./recorder.ts";
import type { Traced } from "./run.ts";
import type { Spread, Summary } from "./summary.ts";

const width = 80;
/** Where the facts of a step begin. */
const indent = 27;

/** The picture of one trace. */
export function picture(
  { steps, totalMs, error, warning }: Traced,
  target: string,
  title: string,
): string {
  const lines = [...wrap(title, width), ""];
  for (const its of places(steps)) {
    lines.push(heading(its[0], passed(its, error) ? "passed" : "failed"));
    for (const step of its) lines.push(...row(step, error));
  }
  if (error !== undefined) {
    const { hop = 0, label = "", stage, message } = error;
    const where = hop === 0 ? "here" : `at hop ${hop}`;
    const advice = adviceFor(error);
    lines.push(
      "",
      ...paragraph(red("✘"), `broken ${where}, ${label}, ${stage}: ${message}`),
      ...(advice === undefined ? [] : paragraph(yellow("→"), advice)),
    );
  } else {
    lines.push("", `${green("✔")} ${target} reached in ${duration(totalMs)}`);
    if (warning !== undefined) lines.push(...paragraph(yellow("!"), warning));
  }
  return lines.join("\n");
}

/** The picture of several. */
export function summaryPicture(
  { runs, failed, steps, total }: Summary,
  target: string,
  title: string,
): string {
  const columns = (words: readonly string[]) => words.map((word) => word.padStart(9)).join("");
  const times = ({ min, median, max }: Spread) => columns([min, median, max].map(duration));
  const lines = [...wrap(title, width), "", dim(" ".repeat(indent) + columns(["min", "median", "max"]))];
  for (const its of places(steps)) {
    lines.push(heading(its[0], "passed"));
    for (const step of its) {
      lines.push(`   │  ${called(step.stage).padEnd(indent - 6)}${times(step)}`);
    }
  }
  if (total !== undefined) lines.push(`${"in all".padEnd(indent)}${times(total)}`);
  const verdict = `${target}: ${runs - failed} of ${runs} reached`;
  return [...lines, "", failed === 0 ? `${green("✔")} ${verdict}` : `${red("✘")} ${verdict}`].join("\n");
}

/** What goes on, for one line that is written over: it may not be wider than the terminal. */
export function progress(steps: readonly RecordedStep[], elapsed: number, columns = width): string {
  const { hop, label, stage } = steps.findLast(({ durationMs }) => durationMs === undefined) ?? {};
  const where = hop === undefined ? "…" : `hop ${hop}, ${label}: ${stage} …`;
  return clip(`${duration(elapsed).padStart(9)}  ${where}`, Math.min(columns, width) - 1);
}

/** The steps of each hop together, in the order in which they were taken. */
function places<T extends Place>(steps: readonly T[]): T[][] {
  const places = new Map<string, T[]>();
  for (const step of steps.toSorted((a, b) => a.hop - b.hop)) {
    const place = `${step.hop} ${step.label}`;
    const its = places.get(place);
    if (its === undefined) places.set(place, [step]);
    else its.push(step);
  }
  return [...places.values()];
}

type Place = Pick<RecordedStep, "hop" | "label">;

/** Whether a hop did what it was there for: of several addresses that are tried, one is enough. */
function passed(its: readonly RecordedStep[], end?: ProxyError): boolean {
  const [{ hop, label }] = its;
  if (end?.hop === hop && end.label === label) return false;
  const { stage } = its.at(-1)!;
  return its.some((step) =>
    step.stage === stage && step.error === undefined && step.durationMs !== undefined
  );
}

function heading({ hop, label }: Place, state: "passed" | "failed"): string {
  const mark = state === "passed" ? green("●") : red("✘");
  return `${String(hop).padStart(2)} ${mark} ${bold(clip(label, width - 5))}`;
}

/** What a step found; the end of the whole trace is told below the picture. */
function row({ stage, subject, durationMs, facts = {}, error }: RecordedStep, end?: ProxyError): string[] {
  const time = durationMs === undefined ? "" : duration(durationMs);
  const what = ["connect", "resolve", "tls"].includes(stage) ? [subject] : [];
  const failed = error === undefined ? [] : [red(end?.message.endsWith(error) ? "✘" : error)];
  const found = [...what, ...told(facts, error !== undefined), ...failed];
  const lines = (found.length === 0 ? [""] : found).flatMap((text) => wrap(text, width - indent));
  const first = `   │  ${called(stage).padEnd(10)}${time.padStart(9)}  `;
  return lines.map((line, index) =>
    `${index === 0 ? first : `   │${" ".repeat(indent - 4)}`}${line}`.trimEnd()
  );
}

/** What people call a stage: the relay's only step is the wait for its first byte. */
function called(stage: Stage): string {
  return stage === "relay" ? "first byte" : stage;
}

/** The facts of a step, a line each. */
function told(facts: Facts, failed: boolean): string[] {
  const { addresses, version, cipher, alpn, subject, names, issuer, expires, pin, untrusted, said } = facts;
  const list = (value: typeof names) => Array.isArray(value) ? value.join(", ") : value;
  return [
    addresses !== undefined && (list(addresses as readonly string[]) || "no address"),
    version !== undefined && [version, cipher, alpn && `ALPN ${alpn}`].filter(Boolean).join(", "),
    subject !== undefined && `certificate of ${subject}${names === undefined ? "" : ` (${list(names)})`}`,
    issuer !== undefined && `issued by ${issuer}, expires ${String(expires).slice(0, 10)}`,
    pin,
    untrusted !== undefined && !failed && yellow(`not verified: ${untrusted}`),
    said === undefined ? false : said === "" ? "it says nothing by itself" : JSON.stringify(said),
  ].filter((line) => typeof line === "string");
}

function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  return ms < 10_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function paragraph(mark: string, text: string): string[] {
  return wrap(text, width - 2).map((line, index) => `${index === 0 ? mark : " "} ${line}`);
}

/** Breaks at spaces; a word that is too long for a line is broken anywhere. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (let word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = "";
    }
    for (; word.length > columns; word = word.slice(columns)) lines.push(word.slice(0, columns));
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function clip(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, columns - 1)}…`;
}
