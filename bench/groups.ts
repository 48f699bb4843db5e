/**
 * What clients see while a member of a group dies, hangs and comes back under load.
 *
 *   bun bench/groups.ts [deno|bun] [KIND] [RATE]
 *
 * Sessions of one round trip each arrive at RATE a second (200) for 15 seconds, through a group of KIND (failover) over
 * two Hopline hops. After 5 seconds the first hop is killed (then, in a second run, stopped, so that it takes
 * connections and says nothing); after 10 it is there again. Everything is a process of its own, on loopback.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const [runtime = "bun", kind = "failover", rate = "200"] = process.argv.slice(2);
const seconds = { whole: 15, fault: 5, repair: 10 };
const command = runtime === "deno" ? ["deno", "run", "-A", "--quiet", "mod.ts"] : ["bun", "mod.ts"];
const directory = mkdtempSync(join(tmpdir(), "hopline-groups-"));
const children = new Set<ChildProcess>();

/** A Hopline process that is ready, and the lines of its log. */
async function hopline(...args: string[]): Promise<{ child: ChildProcess; log: string[]; port: number }> {
  const child = spawn(command[0], [...command.slice(1), ...args, "--log-format", "json"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  children.add(child);
  const log: string[] = [];
  const port = await new Promise<number>((resolve, reject) => {
    let text = "";
    child.once("exit", () => reject(new Error(`it ended: ${text}`)));
    child.stderr!.on("data", (chunk) => {
      const lines = (text += chunk).split("\n");
      text = lines.pop()!;
      log.push(...lines);
      const ready = lines.find((line) => line.includes('"listener.ready"'));
      if (ready !== undefined) resolve(Number(JSON.parse(ready).address.split(":").at(-1)));
    });
  });
  return { child, log, port };
}

async function ended(child: ChildProcess): Promise<void> {
  children.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await exit;
}

interface Session {
  readonly at: number;
  ms: number;
  /** `ok`; `refused`: no tunnel was made; `cut`: a tunnel that stood was cut. */
  outcome: "ok" | "refused" | "cut";
}

/** One session: SOCKS5, 64 bytes there and back. */
function session(port: number, target: number, at: number): Promise<Session> {
  return new Promise((resolve) => {
    const started = performance.now();
    let received = 0;
    let opened = false;
    const end = (outcome: Session["outcome"]) => {
      socket.destroy();
      resolve({ at, ms: performance.now() - started, outcome });
    };
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    socket.on("connect", () => {
      socket.write(Uint8Array.of(5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, target >> 8, target & 255));
    });
    socket.on("data", (chunk) => {
      received += chunk.length;
      if (!opened && received >= 12) {
        if (chunk[chunk.length - 9] !== 0) return end("refused");
        opened = true;
        socket.write(new Uint8Array(64));
      }
      if (received >= 12 + 64) end("ok");
    });
    const failed = () => end(opened ? "cut" : "refused");
    socket.on("error", failed);
    socket.on("close", failed);
    socket.setTimeout(30_000, failed);
  });
}

async function measure(fault: "killed" | "stopped"): Promise<void> {
  const echo = createServer((socket) => socket.on("error", () => {}).pipe(socket));
  await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
  const target = (echo.address() as AddressInfo).port;
  let first = await hopline("-L", "127.0.0.1:0");
  const second = await hopline("-L", "127.0.0.1:0");
  const file = join(directory, "hopline.json");
  const members = [first, second].map(({ port }) => `socks5://127.0.0.1:${port}`);
  writeFileSync(
    file,
    JSON.stringify({
      listeners: ["127.0.0.1:0"],
      hops: { first: members[0], second: members[1] },
      chains: { out: [{ [kind]: ["first", "second"] }] },
    }),
  );
  const house = await hopline("-c", file);
  const sessions: Promise<Session>[] = [];
  const start = performance.now();
  const now = () => (performance.now() - start) / 1000;
  let broken = false;
  let repaired = false;
  while (now() < seconds.whole) {
    if (!broken && now() >= seconds.fault) {
      broken = true;
      if (fault === "killed") await ended(first.child);
      else first.child.kill("SIGSTOP");
    }
    if (!repaired && now() >= seconds.repair) {
      repaired = true;
      if (fault === "stopped") first.child.kill("SIGCONT");
      else hopline("-L", `127.0.0.1:${first.port}`).then((again) => first = again);
    }
    while (sessions.length < now() * Number(rate)) sessions.push(session(house.port, target, now()));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const all = await Promise.all(sessions);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const count = (outcome: Session["outcome"]) => all.filter((one) => one.outcome === outcome).length;
  const late = all.filter(({ ms }) => ms > 500).length;
  const during = all.filter(({ at }) => at >= seconds.fault && at < seconds.repair).map(({ ms }) => ms)
    .sort((a, b) => a - b);
  const quantile = (q: number) => Math.round(during[Math.floor(q * (during.length - 1))] * 10) / 10;
  const took = (name: string) => house.log.filter((line) => line.includes(`"via":["${name}"]`)).length;
  const failures = new Map<string, number>();
  for (const line of house.log.filter((line) => line.includes('"tunnel.failed"'))) {
    const { code, hop, stage } = JSON.parse(line).error;
    const what = `${code} at hop ${hop}, ${stage}`;
    failures.set(what, (failures.get(what) ?? 0) + 1);
  }
  const events = house.log.filter((line) => line.includes('"member.'))
    .map((line) => JSON.parse(line)).map(({ event, member }) => `${event} ${member}`);
  console.log(
    `${runtime} ${kind}, first member ${fault}: ${all.length} sessions, ${count("refused")} refused, ` +
      `${count("cut")} cut, ${late} later than 500 ms; while it was ${fault}: median ${quantile(0.5)} ms, ` +
      `99 % ${quantile(0.99)} ms, most ${quantile(1)} ms; by first ${took("first")}, by second ${
        took("second")
      }; ` +
      `${events.length} events (${events.slice(0, 4).join(", ")}${events.length > 4 ? ", …" : ""})`,
  );
  for (const [what, times] of failures) console.log(`  ${times} times ${what}`);
  await Promise.all([first, second, house].map(({ child }) => ended(child)));
  echo.close();
}

try {
  await measure("killed");
  await measure("stopped");
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(directory, { recursive: true });
}
