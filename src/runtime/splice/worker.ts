/**
 * The worker that carries: one epoll for all directions, for as long as there are any.
 *
 * While it waits for sockets it hears no messages; so what it has to do is in a shared table, and a bell in its epoll
 * makes it look there. All that can be refused for want of something was done before, by the main thread.
 *
 * @module
 */
import { parentPort, workerData } from "node:worker_threads";
import { Carrier } from "./carrier.ts";
import { epoll, openLibc } from "./libc.ts";
import { bellEvent, type Ending, type Message, type Setup, slots, state, Table } from "./table.ts";

const c = openLibc();
const setup: Setup = workerData;
const table = new Table(setup.memory);
const carriers = new Map<number, Carrier>();
/** Those that may move something now. */
const eager = new Set<number>();

/** Runs until there is nothing left to carry. */
function run(): void {
  look();
  while (carriers.size > 0) {
    for (const slot of eager) turn(slot, carriers.get(slot)!);
    c.epollWait(setup.epoll, eager.size > 0 ? 0 : -1, take);
  }
}

function take(event: number, happened: number): void {
  if (event === bellEvent) {
    c.calm(setup.bell);
    return look();
  }
  const slot = event >> 1;
  const carrier = carriers.get(slot);
  if (carrier === undefined) return;
  // What an error or a hang-up means is found out by trying.
  const broken = (happened & (epoll.ERR | epoll.HUP)) !== 0;
  if ((event & 1) === 0) carrier.readable ||= broken || (happened & (epoll.IN | epoll.RDHUP)) !== 0;
  else carrier.writable ||= broken || (happened & epoll.OUT) !== 0;
  if (carrier.eager) eager.add(slot);
}

/** Takes what is offered, and leaves what is cancelled. */
function look(): void {
  for (let slot = 0; slot < slots; slot++) {
    if (table.change(slot, state.offered, state.taken)) {
      carriers.set(slot, new Carrier(c, setup.epoll, table.descriptors(slot)));
      eager.add(slot);
    } else if (table.state(slot) === state.cancelled) {
      const carrier = carriers.get(slot);
      if (carrier !== undefined) over(slot, carrier.end());
    }
  }
}

function turn(slot: number, carrier: Carrier): void {
  const before = carrier.moved;
  const ending = carrier.turn();
  if (carrier.moved > before) {
    table.meter(slot, carrier.moved, performance.timeOrigin + performance.now());
  }
  if (ending !== undefined) over(slot, ending);
  else if (!carrier.eager) eager.delete(slot);
}

function over(slot: number, ending: Ending): void {
  carriers.delete(slot);
  eager.delete(slot);
  say({ slot, ending });
}

function say(message: Message): void {
  parentPort!.postMessage(message);
}

// Sent along with every offer, for when nothing is carried and nobody hears the bell.
parentPort!.on("message", run);
say({ ready: true });
