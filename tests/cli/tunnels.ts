/**
 * Tunnels through a running Hopline to an echo server.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { fromUtf8 } from "../support/bytes.ts";
import type { Origin } from "../support/origins.ts";
import { socks5 } from "../server/clients.ts";
import { Wire } from "../server/wire.ts";
import { endpoint } from "./program.ts";

/** Opens a tunnel to an echo server; answers the reply's code with it. */
export async function tunnel(address: string, echo: Origin): Promise<Wire & { readonly code: number }> {
  const wire = await Wire.to(endpoint(address));
  wire.send(socks5.ask(echo));
  return Object.assign(wire, { code: await socks5.answer(wire) });
}

/** Opens a tunnel that has to stand. */
export async function standing(address: string, echo: Origin): Promise<Wire> {
  const wire = await tunnel(address, echo);
  assertEquals(wire.code, socks5.success);
  await echoes(wire);
  return wire;
}

/** That a tunnel is alive. */
export async function echoes(wire: Wire, text = "hello"): Promise<void> {
  wire.send(text);
  assertEquals(fromUtf8(await wire.read(text.length)), text);
}
