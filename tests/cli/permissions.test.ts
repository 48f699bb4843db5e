/**
 * The least permissions that the program needs on Deno, for each command, as the README tells them. On Bun, which
 * grants everything, the same commands run to see that the table itself is right.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { authority } from "../support/certificates.ts";
import { root } from "../support/hopline.ts";
import { afterEndOrigin, echoOrigin, type Origin } from "../support/origins.ts";
import { eventually, type Finished, run, start } from "../support/process.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { bulk } from "./bulk.ts";
import { socks5 } from "../server/clients.ts";
import { serving } from "../server/serving.ts";
import { Wire } from "../server/wire.ts";

const onDeno = !("Bun" in globalThis);
const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
let origin: Origin;
before(async () => {
  origin = stack.use(await afterEndOrigin());
});
after(() => stack.disposeAsync());

const line = (permissions: readonly string[], args: readonly string[]) => [
  ...(onDeno ? ["run", "--no-prompt", ...permissions] : []),
  join(root, "mod.ts"),
  ...args,
];
const only = (permissions: readonly string[], args: readonly string[], input?: string): Promise<Finished> =>
  run(process.execPath, line(permissions, args), { input, env: { HTTP_PROXY: "http://hop.example" } });

test("--help, --version and schema need none", async () => {
  for (const args of [["--help"], ["--version"], ["schema"], ["connect", "--help"]]) {
    const { code, stderr } = await only([], args);
    assertEquals([code, stderr], [0, ""], args.join(" "));
  }
});

test("check needs to read", async () => {
  directory.write("a.secret", "x\n");
  const users = [{ username: "alice", password: { file: "a.secret" } }];
  const path = directory.write(
    "check.json",
    JSON.stringify({ listeners: [{ address: "127.0.0.1:0", users }] }),
  );
  const { code, stderr } = await only(["--allow-read"], ["check", path]);
  assertEquals([code, stderr], [0, ""]);
});

test("check notes what the permissions keep it from, and asks nobody", async () => {
  const path = directory.write("note.json", `{ "listeners": ["127.0.0.1:0"] }`);
  const ok = `${path}: ok, 1 listener, 0 hops, 0 chains\n`;
  const note = "note: the kernel does not move bulk flows here: it needs --allow-ffi\n";
  const { code, stdout, stderr } = await only(["--allow-read"], ["check", path]);
  assertEquals([code, String(stdout), stderr], [0, onDeno ? ok + note : ok, ""]);
  const granted = await only(["--allow-read", "--allow-ffi"], ["check", path]);
  assertEquals([granted.code, String(granted.stdout), granted.stderr], [0, ok, ""]);
});

test("serve without FFI says so where somebody looks for it, and relays", async () => {
  await using proxy = start(
    process.execPath,
    line(["--allow-net"], ["-L", "127.0.0.1:0", "--log-level", "debug"]),
  );
  const port = Number(await until(proxy, /listener\.ready .*?127\.0\.0\.1:(\d+)/));
  if (onDeno) await until(proxy, /debug (splice\.off) reason="it needs --allow-ffi"/);
  await using echo = await echoOrigin();
  const { moved } = await bulk(proxy.pid, `127.0.0.1:${port}`, echo, 0);
  assertEquals(moved, 8 << 20);
  assertEquals(/NotCapable|run again with/.test(proxy.output()), false, proxy.output());
});

test("a variable of the environment needs leave to be read, by its name", async () => {
  const path = directory.write("variable.json", `{ "listeners": ["127.0.0.1:\${HOPLINE_TEST_PORT:-0}"] }`);
  const { code, stderr } = await only(["--allow-read", "--allow-env=HOPLINE_TEST_PORT"], ["check", path]);
  assertEquals([code, stderr], [0, ""]);
});

test("without that leave, the place and the permission are told", async () => {
  const path = directory.write("denied.json", `{ "listeners": ["127.0.0.1:\${HOPLINE_TEST_PORT:-0}"] }`);
  const { code, stderr } = await only(["--allow-read"], ["check", path]);
  const problem = `${path}:1:17: listeners[0]: the runtime was not given leave to read HOPLINE_TEST_PORT; ` +
    "on Deno that is --allow-env=HOPLINE_TEST_PORT\n";
  assertEquals([code, stderr], onDeno ? [2, problem] : [0, ""]);
});

test("explain and import need to read what they are given, passwd nothing", async () => {
  const config = directory.write("explain.json", `{ "chains": { "out": ["socks5://hop.example"] } }`);
  const script = directory.write("gost.sh", "gost -L :1080 -F socks5://$NAME:secret@hop.example\n");
  const asked: [permissions: string[], args: string[], input?: string][] = [
    [["--allow-read"], ["explain", "example.com:443", "-c", config]],
    [[], ["explain", "example.com:443", "-F", "socks5://hop.example"]],
    [["--allow-read"], ["import", script]],
    [["--allow-env"], ["import", "--env"]],
    [[], ["passwd", "alice"], "secret\n"],
  ];
  for (const [permissions, args, input] of asked) {
    const { code, stderr } = await only(permissions, args, input);
    assertEquals(
      [code, /NotCapable|run again with/.test(stderr)],
      [0, false],
      `${args.join(" ")}: ${stderr}`,
    );
  }
});

test("connect needs the network", async () => {
  const direct = await only(["--allow-net"], ["connect", origin.address], "hello");
  assertEquals([direct.code, String(direct.stdout), direct.stderr], [0, "hello", ""]);
  await using hop = await serving();
  const args = ["connect", `localhost:${origin.port}`, "-F", `socks5://localhost:${hop.at.port}`];
  const chained = await only(["--allow-net"], args, "by name");
  assertEquals([chained.code, String(chained.stdout), chained.stderr], [0, "by name", ""]);
});

test("serve needs the network, and to read what its configuration names: TLS, names and signals included", async () => {
  const issuer = await authority(directory, "permissions");
  const { cert, key } = await issuer.issue("localhost");
  const tls = { certificate: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8"), required: true };
  await using relay = await serving({ listeners: [{ address: "127.0.0.1:0", tls }] });
  const config = {
    listeners: [{ address: "127.0.0.1:0", tls: { certificate: cert, key, required: false } }],
    chains: { out: [`socks5+tls://localhost:${relay.at.port}?ca=${issuer.file}`] },
    log: { level: "debug" },
  };
  const path = directory.write("serve.json", JSON.stringify(config));
  const args = line(["--allow-net", "--allow-read"], ["-c", path]);
  await using proxy = start(process.execPath, args);
  const port = Number(await until(proxy, /listener\.ready .*?127\.0\.0\.1:(\d+)/));
  const ca = readFileSync(issuer.file, "utf8");
  using wire = await Wire.tls({ hostname: "127.0.0.1", port }, { ca, servername: "localhost" });
  wire.send(socks5.ask({ hostname: "localhost", port: origin.port }), "hello");
  assertEquals(await socks5.answer(wire), 0, proxy.output());
  process.kill(proxy.pid, "SIGHUP");
  await until(proxy, /config\.(reloaded|refused)/);
  wire.end();
  await wire.ending();
  assertEquals(await proxy.stop("SIGTERM"), 0);
  assertEquals(/NotCapable|run again with/.test(proxy.output()), false, proxy.output());
});

test("several workers need to be started, and are given no more than they need", async () => {
  const args = ["-L", "127.0.0.1:0", "--workers", "2", "--log-level", "debug"];
  await using proxy = start(process.execPath, line(["--allow-net", "--allow-run", "--allow-env"], args));
  const port = Number(await until(proxy, /listener\.ready .*?127\.0\.0\.1:(\d+)/));
  for (let n = 0; n < 8; n++) {
    using wire = await Wire.to({ hostname: "127.0.0.1", port });
    wire.send(socks5.ask(origin), "hello");
    assertEquals(await socks5.answer(wire), 0, proxy.output());
  }
  if (onDeno) assertEquals(proxy.output().match(/splice\.off reason="it needs --allow-ffi"/g)?.length, 2);
  assertEquals(await proxy.stop("SIGTERM"), 0);
  assertEquals(/NotCapable|run again with/.test(proxy.output()), false, proxy.output());
});

const words = "--workers needs --allow-run, --allow-env and --allow-net without a list";
const lacking = onDeno ? [["--allow-net"], ["--allow-net=127.0.0.1", "--allow-run", "--allow-env"]] : [];
for (const some of lacking) {
  test(`what several workers lack beside ${some.join(" ")} is said in one line`, async () => {
    const { code, stderr } = await only(some, ["-L", "127.0.0.1:0", "--workers", "2"]);
    assertEquals([code, stderr], [2, `hopline: ${words}: workers are processes of their own\n`]);
  });
}

async function until(proxy: { output(): string }, pattern: RegExp): Promise<string> {
  return await eventually(() => `${pattern} in ${proxy.output()}`, () => pattern.exec(proxy.output())?.[1]);
}
