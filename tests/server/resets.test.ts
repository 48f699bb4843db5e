/**
 * Clients that reset their connection before it is accepted, as load balancers do to see whether a port is open.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { echoOrigin } from "../support/origins.ts";
import { must } from "../support/process.ts";
import { socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { Wire } from "./wire.ts";

/** From a process of its own: in ours, the accepting would come in between. */
const knocking = `import socket, struct, sys
for _ in range(300):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()`;

test("a listener is not held up by them", async () => {
  await using echo = await echoOrigin();
  await using house = await serving();
  await must("python3", ["-c", knocking, String(house.at.port)]);
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(echo));
  assertEquals(await socks5.answer(wire), socks5.success);
});
