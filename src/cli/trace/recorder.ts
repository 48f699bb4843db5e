/**
 * The steps of a dial, with their times.
 *
 * @module
 */
import type { Stage } from "../../core/errors.ts";
import type { Facts, Trace, TraceStep } from "../../core/trace.ts";
import { messageOf } from "../../tunnel.ts";

/** One step, as it happened. */
export interface RecordedStep {
  /** Position in the chain, from 1; 0 is this program itself, one more than the last hop the target. */
  readonly hop: number;
  readonly label: string;
  readonly stage: Stage;
  /** What it was about: a name, an address, the message that was waited for. */
  readonly subject: string;
  /** Milliseconds since the trace began. */
  readonly startMs: number;
  /** How long it took; absent while it is under way, and where the trace ended first. */
  durationMs?: number;
  facts?: Facts;
  /** Why it failed. */
  error?: string;
}

/** A step whose hop has its position from the way that was taken. */
class Step implements RecordedStep {
  durationMs?: number;
  facts?: Facts;
  error?: string;

  constructor(
    readonly position: () => number,
    readonly label: string,
    readonly stage: Stage,
    readonly subject: string,
    readonly startMs: number,
  ) {}

  get hop(): number {
    return this.position();
  }

  toJSON(): RecordedStep {
    const { position: _, ...facts } = this;
    return { hop: this.hop, ...facts };
  }
}

/** Writes down the steps; `changed` is called whenever one begins or ends. */
export class Recorder implements Trace {
  readonly steps: RecordedStep[] = [];
  readonly #began = performance.now();

  constructor(readonly changed: () => void = () => {}) {}

  /** Milliseconds since the beginning. */
  get elapsed(): number {
    return since(this.#began);
  }

  at(position: () => number, label: string): Trace {
    return {
      at: (position, label) => this.at(position, label),
      begin: (stage, subject) => this.#begin(new Step(position, label, stage, subject, this.elapsed)),
    };
  }

  begin(stage: Stage, subject: string): TraceStep {
    return this.at(() => 0, "direct").begin(stage, subject);
  }

  #begin(step: RecordedStep): TraceStep {
    const began = performance.now();
    const end = (facts: Facts | undefined, error?: string) => {
      step.durationMs = since(began);
      if (facts !== undefined) step.facts = facts;
      if (error !== undefined) step.error = error;
      this.changed();
    };
    this.steps.push(step);
    this.changed();
    return {
      done: (facts) => end(facts),
      failed: (error, facts) => end(facts, messageOf(error)),
    };
  }
}

/** To the microsecond. */
function since(began: number): number {
  return Math.round((performance.now() - began) * 1000) / 1000;
}
