/**
 * Joins two of Deno's sockets, and leaves bulk directions to the kernel.
 *
 * @module
 */
import { type Carrier, copyBoth, type Join } from "../core/relay.ts";
import { DenoConn } from "./deno_conn.ts";
import { findDescriptors } from "./splice/descriptors.ts";
import type { Libc } from "./splice/libc.ts";
import { brokenBy, type KernelRelay } from "./splice/relay.ts";
import { RuntimePoll } from "./splice/runtime_poll.ts";

/** With more sockets, to look through Deno's epoll costs what most directions would not give back. */
const manySockets = 256;

/** Whether the descriptors are known. Later on, duplicates that are the worker's would be found as well. */
function found(c: Libc, a: DenoConn, b: DenoConn): boolean {
  if (a.fd === undefined || b.fd === undefined) [a.fd, b.fd] = findDescriptors(c, a, b) ?? [];
  return a.fd !== undefined && b.fd !== undefined;
}

/** The relay for a pair of Deno's own sockets. */
export function spliced(kernel: KernelRelay): Join {
  let poll: RuntimePoll | undefined;
  const carrier: Carrier = {
    threshold: kernel.threshold,
    carry(source, sink, flow, direction) {
      if (!(source instanceof DenoConn && sink instanceof DenoConn)) return null;
      if (source.closed || sink.closed || !kernel.ready || !found(kernel.libc, source, sink)) return null;
      const [from, to] = [source.fd!, sink.fd!];
      const carriage = kernel.carry(from, to, flow, direction);
      if (carriage === null) return null;
      if (DenoConn.open <= manySockets) (poll ??= new RuntimePoll(kernel.libc)).leave(from, to);
      source.release = carriage.cancel;
      return carriage.ending.then((ending) =>
        source.closed ? { end: "source", error: new Error("the connection is closed") } : brokenBy(ending)
      );
    },
  };
  return (client, upstream, relay) => {
    if (!(client instanceof DenoConn && upstream instanceof DenoConn)) return false;
    copyBoth(client, upstream, relay.flow, carrier).then((failure) => relay.over(failure));
    return true;
  };
}
