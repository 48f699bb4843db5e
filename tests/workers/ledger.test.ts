/**
 * The ledger and the workers' places, over messages that take their time: whatever tunnels come and go, whichever
 * workers die, all workers together never have one too many, and nobody is refused while there is a place.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { Ledger } from "../../src/cli/workers/ledger.ts";
import { SharedPlaces } from "../../src/cli/workers/shared_places.ts";
import type { Limits } from "../../src/places.ts";

/** Messages in one direction: they arrive in order, each some turns of the loop after it was sent. */
class Pipe {
  #last: Promise<unknown> = Promise.resolve();
  readonly #delays: number[];
  #sent = 0;

  constructor(delays: number[]) {
    this.#delays = delays;
  }

  carry<T>(act: () => T): Promise<Awaited<T>> {
    const turns = this.#delays[this.#sent++ % this.#delays.length];
    const carried = this.#last.then(async () => {
      for (let turn = 0; turn < turns; turn++) await new Promise((done) => setImmediate(done));
    });
    this.#last = carried;
    return carried.then(act) as Promise<Awaited<T>>;
  }
}

/** Workers without processes. */
class Team {
  readonly places: (SharedPlaces | undefined)[];
  readonly tunnels: string[][];
  readonly ledger: Ledger;
  messages = 0;
  readonly #down: Pipe[];
  readonly #up: Pipe[];

  constructor(readonly count: number, public limits: Limits, readonly delays: number[]) {
    this.#down = Array.from({ length: count }, () => new Pipe(delays));
    this.#up = Array.from({ length: count }, () => new Pipe(delays.toReversed()));
    this.places = Array(count).fill(undefined);
    this.tunnels = Array.from({ length: count }, () => []);
    this.ledger = new Ledger(limits, {
      count,
      recall: (seat, key) => this.#ask(seat, (places) => places.recall(key)),
      allow: (seat, key, share) => void this.#ask(seat, (places) => (places.allow(key, share), 0)),
      restore: (seat, key) => void this.#ask(seat, (places) => (places.restore(key), 0)),
    });
    for (let seat = 0; seat < count; seat++) this.join(seat);
  }

  join(seat: number): void {
    const [down, up] = [this.#down[seat] = new Pipe(this.delays), this.#up[seat] = new Pipe(this.delays)];
    const more = async (key: string) => {
      this.messages++;
      const answer = await up.carry(() => this.places[seat] === places && this.ledger.more(seat, key));
      return await down.carry(() => answer);
    };
    const places: SharedPlaces = this.places[seat] = new SharedPlaces(
      this.count,
      this.ledger.contested,
      more,
    );
    places.limit(this.limits);
  }

  die(seat: number): void {
    this.places[seat] = undefined;
    this.tunnels[seat] = [];
    this.ledger.left(seat);
  }

  async open(seat: number, client: string): Promise<boolean> {
    const places = this.places[seat];
    if (places === undefined) return true;
    try {
      await places.take(client);
    } catch {
      return false;
    }
    if (this.places[seat] === places) this.tunnels[seat].push(client);
    assert(this.all().length <= this.limits.tunnels, `${this.all().length} tunnels`);
    const own = this.all().filter((other) => other === client).length;
    assert(own <= this.limits.tunnelsPerClient, `${own} of ${client}`);
    return true;
  }

  close(seat: number): void {
    const client = this.tunnels[seat].shift();
    if (client !== undefined) this.places[seat]!.give(client);
  }

  all(): string[] {
    return this.tunnels.flat();
  }

  async #ask(seat: number, act: (places: SharedPlaces) => number): Promise<number> {
    const places = this.places[seat];
    if (places === undefined) return 0;
    const [down, up] = [this.#down[seat], this.#up[seat]];
    this.messages++;
    const answer = await down.carry(() => act(places));
    await up.carry(() => {});
    return this.places[seat] === places ? answer : 0;
  }
}

const step = fc.record({
  what: fc.constantFrom("open", "open", "open", "open", "close", "close", "die", "join", "wait"),
  seat: fc.nat(2),
  client: fc.constantFrom("a", "b"),
});

test("never one too many, whatever happens at once", async () => {
  const limits = fc.record({
    tunnels: fc.integer({ min: 1, max: 9 }),
    tunnelsPerClient: fc.integer({ min: 1, max: 6 }),
  });
  const delays = fc.array(fc.nat(3), { minLength: 1, maxLength: 5 });
  const property = fc.asyncProperty(
    limits,
    delays,
    fc.array(step, { maxLength: 60 }),
    async (limits, delays, steps) => {
      const team = new Team(3, limits, delays);
      const running: Promise<boolean>[] = [];
      for (const { what, seat, client } of steps) {
        if (what === "open") running.push(team.open(seat, client));
        else if (what === "close") team.close(seat);
        else if (what === "die" && team.places[seat] !== undefined) team.die(seat);
        else if (what === "join" && team.places[seat] === undefined) team.join(seat);
        else if (what === "wait") await new Promise((done) => setImmediate(done));
      }
      await Promise.all(running);
      team.ledger.close();
    },
  );
  await fc.assert(property, { numRuns: 150 });
});

test("nobody is refused while there is a place, wherever it is", async () => {
  const seats = fc.array(fc.record({ seat: fc.nat(2), out: fc.boolean() }), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 12 }), seats, async (limit, steps) => {
      const team = new Team(3, { tunnels: 100, tunnelsPerClient: limit }, [1, 0, 2]);
      for (const { seat, out } of steps) {
        const free = team.all().length < limit;
        if (out) team.close(seat);
        else assertEquals(await team.open(seat, "a"), free);
      }
      team.ledger.close();
    }),
    { numRuns: 150 },
  );
});

test("far from its limits a worker asks nobody, and near them seldom", async () => {
  const team = new Team(2, { tunnels: 2_000, tunnelsPerClient: 2_000 }, [0]);
  for (let n = 0; n < 1000; n++) assert(await team.open(0, `${n % 10}`));
  assertEquals(team.messages, 0);
  for (let n = 0; n < 1000; n++) assert(await team.open(0, `${n % 10}`));
  assertEquals(await team.open(0, "a"), false);
  assert(team.messages < 200, `${team.messages} messages for 2,000 tunnels`);
  team.ledger.close();
});

test("a lowered limit lets nobody in until enough have left, whoever they are", async () => {
  const team = new Team(2, { tunnels: 8, tunnelsPerClient: 100 }, [0, 1]);
  for (let n = 0; n < 8; n++) assert(await team.open(n < 6 ? 0 : 1, "a"));
  const limits = team.limits = { tunnels: 4, tunnelsPerClient: 100 };
  await team.ledger.limit(limits);
  for (const places of team.places) places!.limit(limits);
  for (const seat of [1, 0, 0, 1]) {
    assertEquals(await team.open(0, "a"), false);
    assertEquals(await team.open(1, "a"), false);
    team.close(seat);
  }
  assertEquals([await team.open(1, "a"), await team.open(0, "a")], [false, false]);
  team.close(0);
  assertEquals([await team.open(1, "a"), await team.open(0, "a")], [true, false]);
  team.ledger.close();
});
