/**
 * Heads of HTTP/1 messages (RFC 9112): found, parsed strictly, and written anew from parsed form, never copied.
 *
 * @module
 */
import { printable } from "./errors.ts";
import type { Find } from "./handshake.ts";

/** A field name in lower case, and its value. */
export type Field = readonly [name: string, value: string];

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** 0 or 1, of HTTP/1. */
  readonly minor: number;
  readonly fields: readonly Field[];
}

/** The head of a response. */
export interface ResponseHead {
  readonly minor: number;
  readonly status: number;
  readonly reason: string;
  readonly fields: readonly Field[];
}

/** The longest target of a request: RFC 9110 section 4.1 asks for at least 8,000 bytes. */
const maxTarget = 8 * 1024;

/** The head breaks the grammar; `status` is what a server answers to it. */
export class HeadError extends Error {
  override readonly name = "HeadError";
  constructor(message: string, readonly status = 400) {
    super(printable(message));
  }
}

/** The end of a head: an empty line, even one that ends in a bare LF, so that a broken head is answered at once. */
export const headEnd: Find = (head, from) => {
  for (let at = head.indexOf(10, Math.max(0, from - 2)); at >= 0; at = head.indexOf(10, at + 1)) {
    if (head[at + 1] === 10) return at + 2;
    if (head[at + 1] === 13 && head[at + 2] === 10) return at + 3;
  }
  return -1;
};

/** The end of a response's head; of what is no HTTP, such as the greeting of an SSH server, the first line will do. */
export const responseEnd: Find = (bytes, from) =>
  isHttp(bytes) ? headEnd(bytes, from) : bytes.indexOf(10) + 1 || -1;

const version = Uint8Array.from("HTTP/", (character) => character.charCodeAt(0));

function isHttp(bytes: Uint8Array): boolean {
  return version.every((byte, index) => (bytes[index] ?? byte) === byte);
}

const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const requestLine = new RegExp(`^(${token}) ([\\x21-\\x7e]+) HTTP/1\\.([01])$`);
const statusLine = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: (.*))?$/;
const fieldName = new RegExp(`^${token}$`);
// deno-lint-ignore no-control-regex
const forbidden = /[\x00-\x08\x0a-\x1f\x7f]/;

/**
 * Parses a request's head. Lines end in CRLF; folded lines, bare CR and LF, NUL, space before a colon are refused.
 *
 * @throws HeadError
 */
export function parseRequestHead(head: Uint8Array): RequestHead {
  const lines = splitLines(fromLatin1(head), "\r\n");
  const first = lines.shift()!;
  const match = requestLine.exec(first);
  if (match === null) throw requestLineError(first);
  if (match[2].length > maxTarget) {
    throw new HeadError(`the request's target is longer than ${maxTarget} bytes`, 414);
  }
  const fields = parseFields(lines);
  const hosts = fields.filter(([name]) => name === "host").length;
  if (hosts > 1) throw new HeadError("more than one Host field");
  return { method: match[1], target: match[2], minor: Number(match[3]), fields };
}

/**
 * Parses a response's head. Unless `strict`, lines may end in a bare LF: a proxy that writes that is still understood.
 *
 * @throws HeadError
 */
export function parseResponseHead(head: Uint8Array, { strict = false } = {}): ResponseHead {
  const newline = strict ? "\r\n" : "\n";
  const text = strict ? fromLatin1(head) : fromLatin1(head).replaceAll("\r\n", newline);
  const [first] = text.split(newline, 1);
  const match = statusLine.exec(first);
  if (match === null) {
    throw new HeadError(`expected an HTTP/1 status line, got ${JSON.stringify(first.slice(0, 60))}`);
  }
  return {
    minor: Number(match[1]),
    status: Number(match[2]),
    reason: match[3] ?? "",
    fields: parseFields(splitLines(text, newline).slice(1)),
  };
}

/**
 * Parses what stands behind the last chunk of a body, with its empty line.
 *
 * @throws HeadError
 */
export function parseTrailers(trailers: Uint8Array): Field[] {
  return parseFields(splitLines(fromLatin1(trailers), "\r\n"));
}

/** The values of a field, in order; a head may repeat it. */
export function fieldValues(fields: readonly Field[], name: string): string[] {
  return fields.filter((field) => field[0] === name).map((field) => field[1]);
}

/** The members of a field that is a list, such as Connection, in lower case. */
export function listed(fields: readonly Field[], name: string): string[] {
  const members = fieldValues(fields, name).flatMap((value) => value.split(","));
  return members.map((member) => trimmed(member).toLowerCase()).filter((member) => member !== "");
}

/**
 * A head as bytes, one for each character: what a value held beyond ASCII goes on as it came.
 *
 * @throws HeadError where a line would end early, and what follows become a line of its own
 */
export function formatHead(firstLine: string, fields: readonly Field[]): Uint8Array {
  if (forbidden.test(firstLine)) throw new HeadError("the first line holds a control character");
  return toLatin1(`${firstLine}\r\n${formatFields(fields)}`);
}

/**
 * Trailers as bytes, with their empty line.
 *
 * @throws HeadError
 */
export function formatTrailers(fields: readonly Field[]): Uint8Array {
  return toLatin1(formatFields(fields));
}

function formatFields(fields: readonly Field[]): string {
  let text = "";
  for (const [name, value] of fields) {
    if (!fieldName.test(name)) throw new HeadError(`${JSON.stringify(name)} is not the name of a field`);
    // Without the value: it may be a secret.
    if (forbidden.test(value)) throw new HeadError(`the field ${name} holds a control character`);
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}

/** Not by a TextDecoder: what it calls latin1 is windows-1252, and does not come back as it went. */
export function fromLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) {
    const part = bytes.length <= 4096 ? bytes : bytes.subarray(at, at + 4096);
    // Bytes do as arguments as they are; to spread them costs several times as much.
    text += String.fromCharCode.apply(null, part as unknown as number[]);
  }
  return text;
}

/** @throws HeadError for a character that takes more than a byte: cut to one, it could be any other. */
function toLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0xff) throw new HeadError("a head holds a character beyond Latin-1");
    bytes[at] = code;
  }
  return bytes;
}

/** The lines before the empty one. */
function splitLines(head: string, newline: string): string[] {
  if (!head.endsWith(newline + newline)) throw new HeadError("the lines of the head do not end in CRLF");
  return head.slice(0, -2 * newline.length).split(newline);
}

function parseFields(lines: readonly string[]): Field[] {
  return lines.map((line) => {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    if (!fieldName.test(name) || forbidden.test(line)) {
      // What follows the name may be a password.
      const [beginning] = /^[^\s:]{0,60}/.exec(line)!;
      throw new HeadError(`${JSON.stringify(`${beginning}…`)} is not a header field`);
    }
    return [name.toLowerCase(), trimmed(line.slice(colon + 1))];
  });
}

/**
 * Without spaces and tabs around it, and nothing but these: `trim()` would take a non-breaking space as well. Not by a
 * pattern: `[ \t]*$` takes quadratic time.
 */
export function trimmed(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value[start])) start++;
  while (end > start && isBlank(value[end - 1])) end--;
  return value.slice(start, end);
}

function isBlank(character: string): boolean {
  return character === " " || character === "\t";
}

function requestLineError(line: string): HeadError {
  if (/^PRI \* HTTP\/2\.0$/.test(line)) return new HeadError("HTTP/2 is not spoken here", 505);
  if (/ HTTP\/[02-9]/.test(line)) return new HeadError("only HTTP/1.0 and HTTP/1.1 are spoken here", 505);
  const shown = line.replace(/\S*@/g, "…@").slice(0, 60);
  return new HeadError(`${JSON.stringify(shown)} is not a request line`);
}
