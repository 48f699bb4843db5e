/**
 * The last few descriptors that the process may have.
 *
 * They are kept back on Bun: where there is none for the next client it asks for that client again and again, which
 * takes a whole core, for as long as the table is full.
 *
 * @module
 */
import { readFileSync } from "node:fs";

/** For lookups, and for files that are read again. */
const reserve = 16;
let most: number | undefined;

/** Whether a descriptor is of those to be given back: the kernel gives the lowest number that is free. */
export function isScarce(fd: number): boolean {
  most ??= limit() - reserve;
  return fd >= most;
}

/** How many there may be; both runtimes ask for as many as they can get when they start. */
function limit(): number {
  try {
    return Number(
      /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1] ?? Infinity,
    );
  } catch {
    return Infinity; // another system, or not to be told
  }
}
