/**
 * A port on loopback that answers no connection request: its listener's queue is full and stays full, so that the
 * system drops every further SYN.
 *
 * @module
 */
import { type Daemon, start } from "./process.ts";
import type { Endpoint } from "../../src/core/conn.ts";

const program = `
import socket, sys, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(0)
waiting = []
for _ in range(8):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(server.getsockname())
    waiting.append(client)
time.sleep(0.2)
print(server.getsockname()[1], flush=True)
sys.stdin.read()
time.sleep(600)
`;

/** Such a port, for as long as it is not disposed of. */
export async function silentPort(): Promise<Endpoint & AsyncDisposable> {
  const daemon: Daemon = start("python3", ["-c", program]);
  while (!/^\d+\n/.test(daemon.output())) {
    const ended = await Promise.race([
      daemon.exited,
      new Promise((resolve) => setTimeout(resolve, 20, "no")),
    ]);
    if (ended !== "no") throw new Error(`the listener ended: ${daemon.output()}`);
  }
  return {
    hostname: "127.0.0.1",
    port: Number.parseInt(daemon.output()),
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}
