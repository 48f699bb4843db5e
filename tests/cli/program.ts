/**
 * A running `hopline` whose signals and output a test wants for itself.
 *
 * @module
 */
import process from "node:process";
import { command } from "../support/hopline.ts";
import { type Daemon, eventually, type RunOptions, start } from "../support/process.ts";

/** A process of Hopline's. */
export interface Program extends AsyncDisposable {
  readonly pid: number;
  readonly exited: Promise<number | null>;
  output(): string;
  /** Waits until it has written what matches, and answers the match. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** The address that the `n`th listener (from 0) has told. */
  address(n?: number): Promise<string>;
  signal(name: NodeJS.Signals): void;
}

/** Starts it with these arguments; `by` is a command in front of it. */
export function program(
  args: readonly string[],
  options: Pick<RunOptions, "env" | "cwd"> = {},
  by: readonly string[] = [],
): Program {
  const [runtime, ...before] = [...by, ...command];
  const daemon: Daemon = start(runtime, [...before, ...args], options);
  let ended = false;
  daemon.exited.then(() => ended = true, () => ended = true);
  const said = (pattern: RegExp) =>
    eventually(
      () => `${pattern} from hopline ${args.join(" ")}: ${daemon.output()}`,
      () => {
        const match = pattern.exec(daemon.output());
        if (match === null && ended) throw new Error(`hopline ended without ${pattern}: ${daemon.output()}`);
        return match ?? undefined;
      },
    );
  return {
    pid: daemon.pid,
    exited: daemon.exited,
    output: daemon.output,
    said,
    async address(n = 0) {
      const ready = `listener\\.ready"?[^\\n]*?listener(?:=|":")([^\\s"]+)[^\\n]*\\n`;
      const match = await said(new RegExp(`(?:${ready}[^]*?){${n + 1}}`));
      return match[1];
    },
    signal: (name) => void process.kill(daemon.pid, name),
    [Symbol.asyncDispose]: daemon[Symbol.asyncDispose],
  };
}

/** `host:port` as an endpoint. */
export function endpoint(address: string): { hostname: string; port: number } {
  const at = address.lastIndexOf(":");
  return { hostname: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}
