/**
 * A running `hopline serve --workers N`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { Line } from "../support/hopline.ts";
import { eventually } from "../support/process.ts";
import { type Program, program } from "./program.ts";

/** It, with its log at hand. */
export interface Crew extends Program {
  lines(): Line[];
  /** Waits for the `n`th line (from 1) of an event. */
  logged(event: string, n?: number): Promise<Line>;
  /** How many lines there are of an event. */
  count(event: string): number;
}

/** Starts it. */
export function crew(workers: number, args: readonly string[]): Crew {
  const running = program([...args, "--workers", String(workers), "--log-format", "json"]);
  const lines = () =>
    running.output().split("\n").slice(0, -1).filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Line);
  const of = (event: string) => lines().filter((line) => line.event === event);
  return {
    ...running,
    lines,
    count: (event) => of(event).length,
    logged: (event, n = 1) =>
      eventually(() => `line ${n} of ${event} in ${running.output()}`, () => of(event)[n - 1]),
  };
}

/** The number of the worker that gave this id. */
export function workerOf({ id }: Line): number {
  return Number(id) % 1000;
}

/** Waits until a process is no more; one that nobody has waited for yet is as good as gone. */
export async function gone(pid: number): Promise<void> {
  await eventually(`the end of process ${pid}`, () => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`).length === 0 || undefined;
    } catch {
      return true;
    }
  });
}
