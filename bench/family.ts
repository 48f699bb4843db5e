/**
 * A process and everything that it has started, as /proc shows it.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";

/** What Linux counts processor time in; it is the same everywhere. */
const ticksPerSecond = 100;

interface Status {
  readonly pid: number;
  readonly parent: number;
  /** User and system time, its own and that of the children that it has waited for, in ticks. */
  readonly ticks: number;
}

/** These processes and their descendants, children behind their parents. */
export function family(roots: readonly number[]): readonly number[] {
  return members(roots).map(({ pid }) => pid);
}

/** Seconds of processor time that they have taken, threads and children included. */
export function cpuSeconds(roots: readonly number[]): number {
  return members(roots).reduce((sum, { ticks }) => sum + ticks, 0) / ticksPerSecond;
}

/** Memory in KB: what is shared among processes counts in parts (PSS). */
export function memoryKb(roots: readonly number[]): number {
  return family(roots).reduce((sum, pid) => {
    const rollup = read(`/proc/${pid}/smaps_rollup`);
    return sum + Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
  }, 0);
}

function members(roots: readonly number[]): Status[] {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(status)
    .filter((found) => found !== undefined);
  const found = all.filter(({ pid }) => roots.includes(pid));
  for (const { pid } of found) found.push(...all.filter(({ parent }) => parent === pid));
  return found;
}

function status(name: string): Status | undefined {
  const text = read(`/proc/${name}/stat`);
  if (text === "") return undefined;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ").map(Number);
  return { pid: Number(name), parent: fields[1], ticks: fields[11] + fields[12] + fields[13] + fields[14] };
}

/** A process may end between two looks. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
