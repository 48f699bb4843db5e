/**
 * A program for loop.test.ts, run where the system has few ports to give: many tunnels through one listener, whose
 * clients and whose own connections then have ports in common. It prints how many of them were refused.
 *
 * @module
 */
import { socks5 } from "./clients.ts";
import { serving } from "./serving.ts";
import { scripted, Wire } from "./wire.ts";

await using target = await scripted();
await using house = await serving();
using wires = new DisposableStack();
let refused = 0;
for (let n = 0; n < 40; n++) {
  const wire = wires.use(await Wire.to(house.at));
  wire.send(socks5.ask(target));
  if (await socks5.answer(wire) !== socks5.success) refused++;
}
console.log(`${refused} refused`);
