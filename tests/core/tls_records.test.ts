/**
 * Following TLS records: an alert is told from data of its length by what comes out of the records.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { RecordWatch } from "../../src/core/tls_records.ts";
import { concat } from "../support/bytes.ts";

/** A record of a type with so many bytes in it. */
function record(type: number, length: number): Uint8Array {
  return concat(Uint8Array.of(type, 3, 3, length >> 8, length & 255), new Uint8Array(length).fill(9));
}

/** What TLS 1.3 makes of so many bytes of content. */
const encrypted = (content: number) => record(23, content + 17);
const finished = encrypted(36);
const closeNotify = encrypted(2);

/** A step: a chunk of records and how much data came out of it, or the end of the handshake. */
type Step = readonly [records: readonly Uint8Array[], opened: number] | string;

const cases: Record<string, { steps: readonly Step[]; closed: boolean }> = {
  "nothing": { steps: [], closed: false },
  "an alert in the clear": { steps: [[[record(22, 90), record(21, 2)], 0]], closed: true },
  "a close_notify by itself": { steps: [[[finished], 0], "TLSv1.3", [[closeNotify], 0]], closed: true },
  "two bytes of data": { steps: [[[finished], 0], "TLSv1.3", [[encrypted(2)], 2]], closed: false },
  "data, and a close_notify with it": {
    steps: [[[finished], 0], "TLSv1.3", [[encrypted(7), encrypted(2), closeNotify], 9]],
    closed: true,
  },
  "data, and two bytes with it": {
    steps: [[[finished], 0], "TLSv1.3", [[encrypted(7), encrypted(2), encrypted(2)], 11]],
    closed: false,
  },
  "a close_notify behind a KeyUpdate and padded data": {
    steps: [[[finished], 0], "TLSv1.3", [[encrypted(5), encrypted(100), closeNotify], 60]],
    closed: true,
  },
  "a close_notify with the end of the handshake": {
    steps: [[[finished, closeNotify], 0], "TLSv1.3"],
    closed: true,
  },
  "two bytes and a close_notify with the end of the handshake": {
    steps: [[[record(20, 1), finished, encrypted(2), closeNotify], 2], "TLSv1.3"],
    closed: true,
  },
  "data and two bytes with the end of the handshake": {
    steps: [[[encrypted(900), encrypted(79), finished, encrypted(60), encrypted(2)], 62], "TLSv1.3"],
    closed: false,
  },
  "two bytes with the end of the handshake": {
    steps: [[[record(20, 1), encrypted(52), encrypted(2)], 2], "TLSv1.3"],
    closed: false,
  },
  "a record that is not whole": {
    steps: [[[finished], 0], "TLSv1.3", [[closeNotify.subarray(0, 23)], 0]],
    closed: false,
  },
  "a header that is not whole": {
    steps: [[[finished], 0], "TLSv1.3", [[closeNotify, closeNotify.subarray(0, 4)], 0]],
    closed: false,
  },
  "three bytes in TLS 1.2 with ChaCha20": {
    steps: [[[record(22, 32), record(23, 19)], 3], "TLSv1.2"],
    closed: false,
  },
  "an alert in TLS 1.2": {
    steps: [[[record(22, 40)], 0], "TLSv1.2", [[record(23, 30), record(21, 26)], 6]],
    closed: true,
  },
};

for (const [name, { steps, closed }] of Object.entries(cases)) {
  test(`${name}: ${closed ? "an end" : "a cut"}`, () => {
    const watch = new RecordWatch();
    for (const step of steps) {
      if (typeof step === "string") watch.begin(step);
      else {
        watch.see(concat(...step[0]));
        watch.opened(step[1]);
      }
    }
    assertEquals(watch.closed, closed);
  });
}

test("in pieces of any size a close_notify stays one", () => {
  const bytes = concat(finished, closeNotify);
  for (let size = 1; size <= bytes.length; size++) {
    const watch = new RecordWatch();
    for (let at = 0; at < bytes.length; at += size) watch.see(bytes.subarray(at, at + size));
    assertEquals(watch.closed, true);
  }
});
