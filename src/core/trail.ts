/**
 * What one dial notes where groups choose its way: which hops it takes, and which members it keeps busy.
 *
 * @module
 */

import type { Endpoint } from "./conn.ts";

/** Counts the tunnels that something carries. */
export interface Load {
  /** How many there are. */
  tunnels: number;
}

/**
 * The way of one dial. The farthest hop sets out first, so each says that it takes part before those nearer to us do;
 * its position is known once they have.
 */
export class Trail {
  readonly #via: string[] = [];
  readonly #loads: Load[] = [];
  #under = true;
  /** Where it leads, if that was chosen too. */
  target?: Endpoint;

  /** The names of the hops taken, nearest first. */
  get via(): readonly string[] {
    return this.#via;
  }

  /** A hop takes part; `position` tells its place, from 1, once everything nearer has been dialled. */
  pass(name: string): { position(): number } {
    const behind = this.#via.length;
    this.#via.unshift(name);
    return { position: () => this.#via.length - behind };
  }

  /** Goes on with what another one noted nearer to us. */
  follow({ via, target }: Pick<Trail, "via" | "target">): void {
    this.#via.unshift(...via);
    this.target ??= target;
  }

  /** Counts at `load` until the way is left. */
  keepBusy(load: Load): void {
    this.#loads.push(load);
    if (this.#under) load.tunnels++;
  }

  /** Ends as part of a longer trail, which follows this one and keeps busy what it did; of none, it just ends. */
  handTo(longer: Trail | undefined): void {
    longer?.follow(this);
    for (const load of this.#loads) longer?.keepBusy(load);
    this.leave();
  }

  /** Takes the way again, where its connection serves once more. */
  enter(): void {
    if (!this.#under) { for (const load of this.#loads) load.tunnels++; }
    this.#under = true;
  }

  /** What went this way is over. */
  leave(): void {
    if (this.#under) { for (const load of this.#loads) load.tunnels--; }
    this.#under = false;
  }
}
