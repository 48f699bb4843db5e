/**
 * A configuration in the making: what an importer understood of another program's, and what it did not.
 *
 * @module
 */
import { isLoopback } from "../core/address.ts";
import { ValueError } from "../config/problems.ts";
import { parseListenAddress } from "../config/url.ts";
import type { HopUrl, ListenerUrl } from "../config/url.ts";
import type { Endpoint } from "../core/conn.ts";

/** A hop, in the object form of the configuration. */
export type HopDraft = HopUrl;

/** A listener, in the object form of the configuration. */
export type ListenerDraft = Pick<ListenerUrl, "address" | "protocols" | "target" | "tls" | "users" | "sni">;

/** What is chosen from: a hop, a chain or `direct` by its name, hops in a row, or a choice again. */
export type Member = Element | readonly string[];

/** A choice. */
export interface GroupDraft {
  readonly failover?: readonly Member[];
  readonly roundRobin?: readonly Member[];
  readonly random?: readonly Member[];
  readonly fastest?: readonly Member[];
  readonly check?: { readonly target: string; readonly every?: string };
}

/** A hop's name, or a choice among several. */
export type Element = string | GroupDraft;

/** What a route leads to: `direct`, `reject`, a chain's name, hops, or a choice. */
export type Via = string | readonly Element[] | GroupDraft;

/** A route, in the form of the configuration. */
export interface RouteDraft {
  readonly to?: readonly string[];
  readonly listeners?: readonly string[];
  readonly users?: readonly string[];
  readonly via: Via;
}

/** Something that was not carried over as it was. It never quotes a secret. */
export interface Note {
  readonly file?: string;
  /** Counted from 1; absent where the source has no lines. */
  readonly line?: number;
  readonly message: string;
}

/** A value, what to say of it in a comment, and where it came from. */
export interface Entry<T> {
  readonly value: T;
  readonly comment?: string;
  readonly line?: number;
}

/** The source cannot be understood, or nothing of it can be used. */
export class ImportError extends Error {
  override readonly name = "ImportError";

  constructor(readonly note: Note) {
    super(note.message);
  }
}

/** A configuration in the making. */
export class Draft {
  readonly listeners: Entry<ListenerDraft>[] = [];
  readonly hops = new Map<string, Entry<HopDraft>>();
  readonly chains = new Map<string, Entry<readonly Element[]>>();
  readonly routes: Entry<RouteDraft>[] = [];
  readonly timeouts: Record<string, string> = {};
  readonly notes: Note[] = [];

  /** Records what is not carried over as it was. */
  note(line: number | undefined, message: string, file?: string): void {
    this.notes.push({ file, line, message });
  }

  /** Adds a hop, and answers its name: the one that is wanted, or else `hop1`, `hop2` and so on. */
  hop(
    value: HopDraft,
    { line, comment, name }: Omit<Entry<never>, "value"> & { name?: string } = {},
  ): string {
    const text = JSON.stringify(value);
    const known = [...this.hops].find(([, hop]) => JSON.stringify(hop.value) === text);
    if (known !== undefined && name === undefined) return known[0];
    const free = unused(name ?? "hop", this.hops, name === undefined);
    this.hops.set(free, { value, line, comment });
    return free;
  }

  /** Adds a chain, and answers its name. */
  chain(elements: readonly Element[], { line, name = "out" }: { line?: number; name?: string } = {}): string {
    const free = unused(name, this.chains);
    this.chains.set(free, { value: elements, line });
    return free;
  }

  /** Adds a listener; one that would be an open proxy is moved to the loopback. */
  listener(value: ListenerDraft, line?: number): ListenerDraft {
    const { hostname, port } = listenAddress(value.address, line);
    const guarded = value.users !== undefined || value.tls?.clientCa !== undefined;
    if (guarded || isLoopback(hostname)) {
      this.listeners.push({ value, line });
      return value;
    }
    const moved = { ...value, address: `127.0.0.1:${port}` };
    this.note(
      line,
      `the listener on ${value.address} lets everybody in who reaches it; it is on ${moved.address} now, ` +
        'until you list `users` or say "open": true',
    );
    const comment =
      `was ${value.address}, open to everybody; list "users" or say "open": true to have it back`;
    this.listeners.push({ value: moved, line, comment });
    return moved;
  }
}

function listenAddress(text: string, line?: number): Endpoint {
  try {
    return parseListenAddress(text);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new ImportError({ line, message: `a listener: ${error.message}` });
  }
}

/** A name that may stand under `hops` and `chains`. */
export function validName(text: string): string {
  // deno-lint-ignore no-control-regex
  const name = text.replace(/[\s\x00-\x1f\x7f-\x9f/:,@]+/g, "-").slice(0, 200);
  return name === "direct" || name === "reject" || name === "" ? `${name}-out` : name;
}

function unused(name: string, taken: ReadonlyMap<string, unknown>, numbered = false): string {
  for (let n = numbered ? 1 : 0;; n++) {
    const free = n === 0 ? name : `${name}${numbered ? n : n + 1}`;
    if (!taken.has(free)) return free;
  }
}
