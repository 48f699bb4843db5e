/**
 * A worker: a process that serves the listeners of its service beside others, and is told by its supervisor what to do.
 *
 * @module
 */
import process from "node:process";
import { withPartOfBandwidths } from "../../bandwidths.ts";
import { currentRuntime, type Runtime } from "../../runtime/runtime.ts";
import { Server } from "../../server.ts";
import { UsageError } from "../arguments.ts";
import type { Orders, SupervisorCalls, WorkerCalls } from "./calls.ts";
import { Channel } from "./channel.ts";
import { CrewOutgoing } from "./crew_outgoing.ts";
import { SharedPlaces } from "./shared_places.ts";

/** Works until the supervisor says that it is enough, or is gone. */
export async function work(): Promise<number> {
  if (process.stdin.isTTY) throw new UsageError("a worker is started by hopline serve --workers N");
  let serving: Promise<Server> | undefined;
  let places: SharedPlaces;
  let outgoing: CrewOutgoing;
  let workers = 1;
  const drained = Promise.withResolvers<void>();
  let draining = false;
  const drain = () => {
    if (draining) return;
    draining = true;
    const closed = serving === undefined ? Promise.resolve() : serving.then((server) => server.close());
    closed.catch(() => {}).then(drained.resolve);
  };

  const calls: WorkerCalls = {
    start(orders) {
      const { splice, contested } = orders;
      workers = orders.workers;
      const config = withPartOfBandwidths(orders.config, workers);
      places = new SharedPlaces(workers, contested, (key) => supervisor.call("more", key));
      let server: Server | undefined;
      outgoing = new CrewOutgoing(supervisor, () => server?.addresses ?? []);
      serving = currentRuntime().then(async (runtime) => {
        const crew = { runtime: beside(outgoing.over(runtime)), places, outgoing, nextId: ids(orders) };
        return server = await Server.start(config, { splice }, { ...crew, announces: false });
      });
      return serving.then(() => {});
    },
    replace: async (config) => await (await serving!).replace(withPartOfBandwidths(config, workers)),
    drain,
    recall: (key) => places.recall(key),
    allow: (key, share) => places.allow(key, share),
    restore: (key) => places.restore(key),
    connected: (from, ends) => outgoing.connected(from, ends),
    disconnected: (from, ends) => outgoing.disconnected(from, ends),
    gone: (from) => outgoing.gone(from),
  };
  const supervisor = new Channel<SupervisorCalls>(process.stdin, process.stdout, calls);

  // Those that a terminal sends to all its processes are the supervisor's.
  for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  process.on("SIGTERM", drain);
  supervisor.closed.then(drain);
  await drained.promise;
  return 0;
}

/** Listens beside the other workers. */
function beside(runtime: Runtime): Runtime {
  return { ...runtime, listen: (at) => runtime.listen(at, { reusePort: true }) };
}

/** Numbers that no other worker gives: the last three digits are those of the worker's own number. */
function ids({ number }: Orders): () => number {
  let count = Math.floor(number / 1000) * 1e9;
  return () => ++count * 1000 + number % 1000;
}
