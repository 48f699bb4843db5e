/**
 * Questions to a name server, and what its answers mean (RFC 1035); their bytes are the library's business.
 *
 * @module
 */
import packet from "dns-packet";
import { Buffer } from "node:buffer";
import { failure } from "./failure.ts";

/** A record (RFC 1035 section 4.1.3) as the library reads it; it has no types of its own. */
interface ResourceRecord {
  readonly type: string;
  readonly ttl?: number;
  readonly data: unknown;
}

/** A message, likewise. */
interface Message {
  readonly type: "query" | "response";
  readonly rcode: string;
  readonly questions: readonly { readonly type: string; readonly name: string }[];
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
}

/** What is known of a name, for one family of addresses. */
export interface Answer {
  readonly addresses: readonly string[];
  /** There is no such name, for either family. */
  readonly unknown: boolean;
  /** Seconds for which this holds. */
  readonly ttl: number;
}

/** Answers larger than this are cut off and asked for again over TCP (the DNS Flag Day's size: no IP fragments). */
const udpSize = 1232;

/** How long a "no" holds at most, and where the server does not say, in seconds (RFC 2308 section 5). */
const longestNo = 300;
const shortestNo = 5;

/** The question for the addresses of one family; its id is 0, for the transport to choose. */
export function question(name: string, family: 4 | 6): Uint8Array {
  return packet.encode({
    type: "query",
    id: 0,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: typeOf(family), class: "IN" }],
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: udpSize, flags: 0, options: [] }],
  });
}

function typeOf(family: 4 | 6): "A" | "AAAA" {
  return family === 4 ? "A" : "AAAA";
}

/** The answer has been cut off: there is more to be had over TCP. */
export function isTruncated(message: Uint8Array): boolean {
  return (message[2] & 0x02) !== 0;
}

/**
 * Whether a message repeats this question, and its id: one that does not is somebody else's, or forged. What is said
 * in it is not looked at.
 */
export function answers(message: Uint8Array, asked: Uint8Array): boolean {
  const end = asked.indexOf(0, 12) + 5;
  const [count, ours] = [message, asked].map((bytes) => bytes[4] << 8 | bytes[5]);
  const same = (from: number, to: number, fold: (byte: number) => number) =>
    asked.subarray(from, to).every((byte, index) => fold(byte) === fold(message[from + index]));
  return message.length >= end && (message[2] & 0x80) !== 0 && count === ours &&
    same(0, 2, (byte) => byte) && same(12, end, lowerCase);
}

/** Of a letter; the lengths of labels are all less than one. */
function lowerCase(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte;
}

/** @throws ProxyError when it is no answer to this question, or the server could not answer */
export function answer(message: Uint8Array, name: string, family: 4 | 6): Answer {
  const { type, rcode, questions, answers, authorities } = decoded(message);
  const [asked] = questions;
  if (
    type !== "response" || questions.length !== 1 || asked.type !== typeOf(family) ||
    asked.name.toLowerCase() !== name.toLowerCase()
  ) throw failure("it answers another question");
  if (rcode !== "NOERROR" && rcode !== "NXDOMAIN") throw failure(`it says ${rcode}`);
  const found = answers.filter((record) => record.type === typeOf(family));
  const addresses = [...new Set(found.map(({ data }) => String(data)))];
  // An alias may end before what it leads to does.
  if (addresses.length > 0) return { addresses, unknown: false, ttl: least(answers) };
  return { addresses, unknown: rcode === "NXDOMAIN", ttl: noFor(authorities) };
}

function decoded(message: Uint8Array): Message {
  try {
    return packet.decode(Buffer.from(message.buffer, message.byteOffset, message.length));
  } catch {
    throw failure("its answer is no DNS message");
  }
}

function least(records: readonly ResourceRecord[]): number {
  return Math.min(...records.map(({ ttl = 0 }) => ttl));
}

/** RFC 2308: the start of authority says how long. */
function noFor(authorities: readonly ResourceRecord[]): number {
  const soa = authorities.find(({ type }) => type === "SOA");
  const { minimum = 0 } = (soa?.data ?? {}) as { minimum?: number };
  return soa === undefined ? shortestNo : Math.min(soa.ttl ?? 0, minimum, longestNo);
}
