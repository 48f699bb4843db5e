/**
 * A tunnel of a running Hopline that carries so much that the kernel may be given it.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { readdirSync, readlinkSync } from "node:fs";
import { bytes } from "../support/traffic.ts";
import type { Origin } from "../support/origins.ts";
import { socks5 } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { endpoint } from "./program.ts";

/** What a tunnel has moved, and how. */
export interface Bulk {
  /** Bytes each way. */
  readonly moved: number;
  /** Directions that the kernel moved at its end: each has a duplicate of both sockets. */
  readonly carried: number;
}

/** Moves 8 MiB there and back, and then more while the process does not carry as many directions as `wanted`. */
export async function bulk(pid: number, address: string, echo: Origin, wanted: number): Promise<Bulk> {
  using wire = await Wire.to(endpoint(address));
  wire.send(socks5.ask(echo));
  assertEquals(await socks5.answer(wire), 0);
  const before = duplicates(pid);
  const piece = bytes(1 << 20);
  let carried = 0;
  let moved = 0;
  for (; moved < 8 << 20 || carried < wanted && moved < 200 << 20; moved += piece.length) {
    wire.send(piece);
    assertEquals(await wire.read(piece.length), piece);
    // A worker of Deno's has one of its own.
    carried = Math.floor((duplicates(pid) - before) / 2);
  }
  wire.end();
  assertEquals(await wire.ending(), "fin");
  return { moved, carried };
}

/** Descriptors of sockets beyond the first of each. */
function duplicates(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  const sockets = readdirSync(folder).map((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`);
    } catch {
      return ""; // closed meanwhile
    }
  }).filter((link) => link.startsWith("socket:"));
  return sockets.length - new Set(sockets).size;
}
