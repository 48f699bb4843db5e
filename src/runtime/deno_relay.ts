/**
 * Joins two of Deno's sockets, and leaves bulk directions to the kernel.
 *
 * @module
 */
import { type Carrier, copyBoth, type Join } from "../core/relay.ts";
import { DenoConn } from "./deno_conn.ts";
import { findDescriptors } from "./splice/descriptors.ts";
import { brokenBy, type KernelRelay } from "./splice/relay.ts";

/** The relay for a pair of Deno's own sockets. */
export function spliced(kernel: KernelRelay): Join {
  const carrier: Carrier = {
    threshold: kernel.threshold,
    carry(source, sink, flow, direction) {
      const open = [source, sink].every((conn) => conn instanceof DenoConn && !conn.closed);
      if (!open || !kernel.ready) return null;
      const descriptors = findDescriptors(kernel.libc, source, sink);
      const carriage = descriptors && kernel.carry(...descriptors, flow, direction);
      if (!carriage) return null;
      const socket = source as DenoConn;
      socket.release = carriage.cancel;
      return carriage.ending.then((ending) =>
        socket.closed ? { end: "source", error: new Error("the connection is closed") } : brokenBy(ending)
      );
    },
  };
  return (client, upstream, relay) => {
    if (!(client instanceof DenoConn && upstream instanceof DenoConn)) return false;
    copyBoth(client, upstream, relay.flow, carrier).then((failure) => relay.over(failure));
    return true;
  };
}
