/**
 * One line on standard error for each event, as text or as JSON.
 *
 * @module
 */
import process from "node:process";
import { printable } from "./core/errors.ts";

/** How important an event is. */
export type Level = "error" | "warn" | "info" | "debug";

/** From the most to the least important. */
export const levels: readonly Level[] = ["error", "warn", "info", "debug"];

/** What an event tells besides its name. */
export type Fields = Record<string, unknown>;

/** Takes events. */
export type Log = (level: Level, event: string, fields?: Fields) => void;

/** How a log is written. */
export interface LogOptions {
  readonly level: Level;
  readonly format: "text" | "json";
}

/** Whether a log of a level takes events of another one. */
export function logs(most: Level, level: Level): boolean {
  return levels.indexOf(level) <= levels.indexOf(most);
}

/** A log that writes lines; those below its level are never made. */
export function lineLog({ level, format }: LogOptions, write: (line: string) => void = toStandardError): Log {
  const line = format === "json" ? jsonLine : textLine;
  return (of, event, fields = {}) => {
    if (logs(level, of)) write(line(of, event, fields));
  };
}

let heeded = false;

function toStandardError(line: string): void {
  // Whoever reads our lines may go: that ends the log, not the service.
  if (!heeded) process.stderr.on("error", () => {});
  heeded = true;
  process.stderr.write(`${line}\n`);
}

function jsonLine(level: Level, event: string, fields: Fields): string {
  const entry = { time: new Date().toISOString(), level, event, ...fields };
  return JSON.stringify(entry, (_key, value) => typeof value === "string" ? printable(value) : value);
}

function textLine(level: Level, event: string, fields: Fields): string {
  let line = `${new Date().toISOString()} ${level} ${event}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) line += ` ${key}=${textValue(value)}`;
  }
  return line;
}

function textValue(value: unknown): string {
  if (Array.isArray(value)) return value.map(textValue).join(",");
  const text = isFailure(value) ? failureText(value) : String(value);
  return /^[^\s"=,\\]+$/.test(text) ? printable(text) : printable(JSON.stringify(text));
}

interface FailureFields {
  readonly code: string;
  readonly hop: number;
  readonly label?: string;
  readonly stage: string;
  readonly message: string;
}

function isFailure(value: unknown): value is FailureFields {
  return typeof value === "object" && value !== null && "stage" in value;
}

function failureText({ code, hop, label, stage, message }: FailureFields): string {
  return `hop ${hop}${label === undefined ? "" : `, ${label}`}, ${stage}: ${message} [${code}]`;
}
