/**
 * The small values of a configuration: durations, sizes, names, pins.
 *
 * @module
 */
import { z } from "zod";
import { AddressError } from "../core/address.ts";
import { wrongKind } from "./issues.ts";
import { type Path, quote, ValueError } from "./problems.ts";

const milliseconds: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const bytes: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Timers hold 31 bits of milliseconds; longer ones would fire at once. */
const longest = 596 * milliseconds.h;

/**
 * `"250ms"`, `"10s"`, `"5m"` or `"1h"` in milliseconds.
 *
 * @throws ValueError
 */
export function parseDuration(text: string): number {
  const [, number, unit] = /^(\d{1,15})(ms|s|m|h)$/.exec(text) ?? [];
  if (unit === undefined) {
    throw new ValueError(`expected a duration such as "250ms", "10s", "5m" or "1h", found ${quote(text)}`);
  }
  const duration = Number(number) * milliseconds[unit];
  if (duration > longest) throw new ValueError(`expected at most "596h", found ${quote(text)}`);
  return duration;
}

/**
 * `"512B"`, `"16KiB"`, `"1MiB"` or `"1GiB"` in bytes.
 *
 * @throws ValueError
 */
export function parseSize(text: string): number {
  const [, number, unit] = /^(\d{1,9})(B|KiB|MiB|GiB)$/.exec(text) ?? [];
  if (unit === undefined) {
    throw new ValueError(`expected a size such as "16KiB" or "1MiB", found ${quote(text)}`);
  }
  return Number(number) * bytes[unit];
}

/**
 * `sha256/BASE64` without its prefix, once it is known to hold 32 bytes.
 *
 * @throws ValueError
 */
export function parsePin(text: string): string {
  const [, pin] = /^sha256\/([A-Za-z0-9+/]{43}=)$/.exec(text) ?? [];
  if (pin === undefined) {
    throw new ValueError(`expected sha256/ and the 44 base64 characters of a hash, found ${quote(text)}`);
  }
  return btoa(atob(pin)); // the last character has bits to spare: one spelling of each hash
}

/** A string that a parser reads; what the parser throws becomes a problem at the string. */
export function parsed<T>(parse: (text: string) => T, what = "a string") {
  return z.string({ error: ({ input }) => wrongKind(what, input) })
    .transform((text, ctx) => attempt(ctx, () => parse(text)));
}

/** A positive duration. */
export function duration() {
  return parsed((text) => positive(parseDuration(text), text), aDuration);
}

/** A duration that may be `"0s"`. */
export function durationOrNone() {
  return parsed(parseDuration, aDuration);
}

const aDuration = 'a duration such as "10s"';

/** A size of at least `least` KiB, as text with a unit or as a number of bytes. */
export function size(least: number) {
  const bytes = least * 1024;
  return z.union([parsed(parseSize), z.int()]).superRefine((value, ctx) => {
    if (value < bytes) report(ctx, `expected at least "${least}KiB" (${bytes} bytes), found ${value} bytes`);
  });
}

/** A positive whole number. */
export function count() {
  return z.int().positive();
}

/** Where a schema's function reports what is wrong. */
export interface Reports {
  addIssue(issue: { code: "custom"; message: string; path?: (string | number)[] }): void;
}

/** Reports a problem, at the value itself or further in. */
export function report(ctx: Reports, message: string, path: Path = []): void {
  ctx.addIssue({ code: "custom", message, path: [...path] });
}

/** Runs a parser; what it refuses is reported at `path`, and the result is of no use then. */
export function attempt<T>(ctx: Reports, parse: () => T, path: Path = []): T {
  try {
    return parse();
  } catch (error) {
    return refuse(ctx, error, path);
  }
}

/** Reports an error of a parser; every other error goes on. */
export function refuse(ctx: Reports, error: unknown, path: Path = []): never {
  if (!(error instanceof ValueError || error instanceof AddressError)) throw error;
  report(ctx, error.message, path);
  return z.NEVER;
}

/** How many bytes a string takes in a protocol. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

function positive(value: number, text: string): number {
  if (value === 0) throw new ValueError(`expected more than zero, found ${quote(text)}`);
  return value;
}
