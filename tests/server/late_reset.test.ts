/**
 * A target that has said its last word, and resets what the client still sends: TLS servers do so with a client's
 * close_notify. Nothing is missing for the client, so the tunnel has not failed.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { fromUtf8 } from "../support/bytes.ts";
import { listen } from "../support/origins.ts";
import { socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { Wire } from "./wire.ts";

test("a target that resets behind its FIN closes the tunnel, and does not fail it", async () => {
  const reset = Promise.withResolvers<void>();
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.end("bye");
      socket.once("data", () => {
        socket.resetAndDestroy();
        reset.resolve();
      });
    });
  });
  await using target = await listen(server);
  await using house = await serving();
  using wire = await Wire.to(house.at);
  wire.send(socks5.ask(target), "hello");
  assertEquals(await socks5.answer(wire), 0);
  assertEquals(fromUtf8(await wire.read(3)), "bye");
  wire.send("late");
  await reset.promise;
  wire.send("later");
  wire.end();
  const { fields } = await house.logged("tunnel.closed");
  assertEquals([fields.bytesDown, fields.error], [3, undefined]);
  assertEquals(house.events.filter(({ event }) => event === "tunnel.failed"), []);
});
