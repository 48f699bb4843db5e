/**
 * Hopline on each of its runtimes.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "../tests/support/hopline.ts";
import type { Command, Contender, Place, Role } from "./contender.ts";
import { executable } from "./runtimes.ts";

/** The names that the bar is about. */
export const onBun = "Hopline on Bun";
/** See {@linkcode onBun}. */
export const onDeno = "Hopline on Deno";
/** What is behind a name when the kernel relay is off. */
export const withoutSplice = ", no splice";

const main = join(root, "mod.ts");

/** Hopline on both runtimes, as a binary if there is one, and all of them without the kernel relay where it can be told so. */
export function hoplines(binary?: string): Contender[] {
  const commands: [string, Command][] = [
    [onBun, [executable("bun"), main]],
    [onDeno, [executable("deno"), "run", "-A", main]],
    ...(binary === undefined ? [] : [["Hopline, binary", [binary]] satisfies [string, Command]]),
  ];
  return commands.flatMap(([name, command]) => [
    contender(name, command),
    ...(hasSplice(command)
      ? [{ ...contender(name + withoutSplice, command, ["--no-splice"]), only: /^bulk/ }]
      : []),
  ]);
}

function hasSplice([program, ...args]: Command): boolean {
  return spawnSync(program, [...args, "serve", "--help"], { encoding: "utf8" }).stdout.includes(
    "--no-splice",
  );
}

/** Listeners take every protocol that they can; nothing is turned off but the log of each tunnel. */
function contender(name: string, command: Command, flags: readonly string[] = []): Contender {
  const start =
    (listener: (place: Place) => object, hops: (place: Place) => number[] = () => []) => (place: Place) => {
      const configuration = {
        listeners: [{ address: `127.0.0.1:${place.port}`, ...listener(place) }],
        chains: hops(place).length > 0
          ? { out: hops(place).map((port) => `socks5://127.0.0.1:${port}`) }
          : undefined,
        limits: { tunnels: place.tunnels, tunnelsPerClient: place.tunnels },
        log: { level: "error" },
      };
      const file = place.directory.write("hopline.json", JSON.stringify(configuration));
      return [[...command, "serve", "-c", file, ...flags] as unknown as Command];
    };
  const every = () => ({});
  const roles: Contender["roles"] = {
    socks5: start(every),
    http: start(every),
    plain: start(every),
    h2: start(every),
    tls: start(({ certificate }) => ({
      tls: { certificate: certificate.cert, key: certificate.key, required: true },
    })),
    tcp: start(({ targets }) => ({ target: `127.0.0.1:${targets.tunnel}` })),
    chain1: start(every, ({ targets }) => [targets.hop1]),
    chain3: start(every, ({ targets }) => [targets.hop3, targets.hop3, targets.hop3]),
  } satisfies Record<Role, unknown>;
  return { name, ours: true, programs: [command[0]], roles };
}
