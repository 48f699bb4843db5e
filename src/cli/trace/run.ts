/**
 * One trace: a dial whose steps are written down, and the first byte of what it leads to.
 *
 * @module
 */
import { formatEndpoint } from "../../core/address.ts";
import type { Endpoint } from "../../core/conn.ts";
import type { Dialer } from "../../core/dialer.ts";
import { asProxyError, type ProxyError } from "../../core/errors.ts";
import { background } from "../../core/handshake.ts";
import { Trail } from "../../core/trail.ts";
import { probe } from "./probe.ts";
import { type RecordedStep, Recorder } from "./recorder.ts";

/** What a trace has found. */
export interface Traced {
  readonly steps: readonly RecordedStep[];
  /** The names of the hops that were taken, where groups chose among several. */
  readonly via: readonly string[];
  /** Milliseconds until the target was reached, or the trace had failed; the first byte is not waited for. */
  readonly totalMs: number;
  /** Why the target was not reached; absent when it was. */
  readonly error?: ProxyError;
  /** What is odd about a target that was reached. */
  readonly warning?: string;
}

/** Traces the way to a target; `changed` is called with the steps so far whenever one begins or ends. */
export async function traceOnce(
  dialer: Dialer,
  target: Endpoint,
  changed: (recorder: Recorder) => void = () => {},
): Promise<Traced> {
  const recorder: Recorder = new Recorder(() => changed(recorder));
  const trail = new Trail();
  const { steps } = recorder;
  try {
    const conn = await dialer.dial(target, { ...background, trace: recorder, trail });
    const totalMs = recorder.elapsed;
    const last = Math.max(0, ...steps.map(({ hop }) => hop));
    const end = recorder.at(() => last + 1, formatEndpoint(target));
    const warning = await probe(conn, target, end);
    return { steps, via: trail.via, totalMs, ...(warning !== undefined && { warning }) };
  } catch (cause) {
    const failed = asProxyError(cause, { code: "failed", side: "local", stage: "connect" });
    return { steps, via: trail.via, totalMs: recorder.elapsed, error: failed.at(0, "direct") };
  }
}
