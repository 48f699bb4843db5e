/**
 * That there is no way to an address is told apart from a port that is closed.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { test } from "node:test";
import { command, root } from "../support/hopline.ts";
import { must } from "../support/process.ts";

const runtime = "Bun" in globalThis ? [command[0]] : [command[0], "run", "-A", "--no-prompt"];

test("a network without a route, a host without one, and a closed port", async () => {
  const routes = "ip link set lo up && ip route add unreachable 198.51.100.0/24";
  const program = [...runtime, join(root, "tests", "contract", "no_route.ts")].map((word) => `'${word}'`)
    .join(" ");
  const { stdout } = await must("unshare", ["-n", "sh", "-c", `${routes} && exec ${program}`], { cwd: root });
  assertEquals(String(stdout).trim().split("\n"), [
    "203.0.113.1 netUnreachable",
    "198.51.100.1 unreachable",
    "127.0.0.1 refused",
  ]);
});
