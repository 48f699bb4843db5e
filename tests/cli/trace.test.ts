/**
 * `hopline trace`: the way to a target step by step, and where it broke.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, test } from "node:test";
import { progress } from "../../src/cli/trace/picture.ts";
import { authority, type Certificate, pin } from "../support/certificates.ts";
import { configured, hoplineCommand } from "../support/hopline.ts";
import { freePort, temporaryDirectory } from "../support/temporary.ts";
import { type Serving, serving } from "../server/serving.ts";
import { type Scripted, scripted } from "../server/wire.ts";

const stack = new AsyncDisposableStack();
const directory = stack.use(temporaryDirectory());
/** A target that greets, as ssh and mail servers do. */
let greeter: Scripted;
let near: Serving;
/** Behind TLS, with a user. */
let far: Serving;
let certificate: Certificate;
let trusted: string;
before(async () => {
  const ca = await authority(directory, "trace-ca");
  certificate = await ca.issue("relay.test");
  trusted = ca.file;
  greeter = stack.use(await scripted((wire) => wire.send("SSH-2.0-Test\r\n")));
  near = stack.use(await serving());
  far = stack.use(
    await serving({
      listeners: [{
        address: "127.0.0.1:0",
        protocols: ["socks5"],
        tls: { certificate: certificate.cert, key: certificate.key, required: true },
        users: [{ username: "alice", password: "s3cret" }],
      }],
    }),
  );
});
after(() => stack.disposeAsync());

const first = () => `http://127.0.0.1:${near.at.port}`;
const second = (password = "s3cret", sni = "relay.test", ca = trusted) =>
  `socks5+tls://alice:${password}@127.0.0.1:${far.at.port}?sni=${sni}&ca=${encodeURIComponent(ca)}`;

async function trace(target: string, hops: readonly string[], ...options: string[]) {
  const flags = hops.flatMap((hop) => ["-F", hop]);
  const { code, stdout, stderr } = await hoplineCommand(["trace", target, ...flags, ...options]);
  assertEquals(stderr, "");
  const text = String(stdout);
  assert(!text.includes("s3cret"), text);
  return { code, text };
}

async function traced(target: string, hops: readonly string[], ...options: string[]) {
  const { code, text } = await trace(target, hops, "--json", ...options);
  return { code, ...JSON.parse(text) };
}

/** What a step is about, without its times. */
const outline = ({ steps }: { steps: { hop: number; stage: string }[] }) =>
  steps.map(({ hop, stage }) => `${hop} ${stage}`);

test("a chain that works is shown hop by hop, with the first byte of the target", async () => {
  const { code, text } = await trace(greeter.address, [first(), second()]);
  assertEquals(code, 0);
  const shape = [
    /^ 1 ● http:\/\/127\.0\.0\.1:\d+$/m,
    /^ {3}│ {2}connect +[\d.]+ m?s +127\.0\.0\.1:\d+$/m,
    /^ {3}│ {2}request +[\d.]+ m?s$/m,
    /^ 2 ● socks5\+tls:\/\/127\.0\.0\.1:\d+$/m,
    /^ {3}│ {2}tls +[\d.]+ m?s +relay\.test\n {3}│ +TLSv1\.3, \w+\n {3}│ +certificate of relay\.test \(DNS:relay\.test\)$/m,
    /issued by trace-ca, expires 20\d\d-\d\d-\d\d$/m,
    /^ {3}│ {2}auth +[\d.]+ m?s$/m,
    /^ 3 ● 127\.0\.0\.1:\d+\n {3}│ {2}first byte +[\d.]+ m?s +"SSH-2\.0-Test"$/m,
    /^✔ 127\.0\.0\.1:\d+ reached in [\d.]+ m?s$/m,
  ];
  for (const pattern of shape) assertMatch(text, pattern);
  assertStringIncludes(text, await pin(certificate));
  assertEquals(text.split("\n").filter((line) => line.length > 80 || line.includes("\x1b")), []);
});

test("as JSON, every step has its hop, its stage, its times and what was found out", async () => {
  const { code, ok, target, steps, totalMs, error } = await traced(greeter.address, [first(), second()]);
  assertEquals([code, ok, target, error], [0, true, greeter.address, undefined]);
  assertEquals(outline({ steps }), ["1 connect", "1 request", "2 tls", "2 auth", "2 request", "3 relay"]);
  const [, , tls, , , byte] = steps;
  assertEquals([tls.facts.subject, tls.facts.issuer, tls.facts.version, tls.facts.pin], [
    "relay.test",
    "trace-ca",
    "TLSv1.3",
    await pin(certificate),
  ]);
  assertEquals(byte.facts.said, "SSH-2.0-Test");
  for (const { startMs, durationMs } of steps) assert(startMs >= 0 && durationMs > 0);
  assert(totalMs > 0);
});

test("a name is resolved in front of everybody, and every address that was tried is there", async () => {
  const { code, steps } = await traced(`localhost:${greeter.port}`, []);
  assertEquals(code, 0);
  const resolved = steps.filter(({ stage }: { stage: string }) => stage === "resolve");
  assertEquals(resolved.map(({ subject }: { subject: string }) => subject), [
    "localhost AAAA",
    "localhost A",
  ]);
  assertEquals(resolved.flatMap(({ facts }: { facts: { addresses: string[] } }) => facts.addresses), [
    "::1",
    "127.0.0.1",
  ]);
  const connects = steps.filter(({ stage }: { stage: string }) => stage === "connect");
  assertEquals(connects.at(-1).subject, greeter.address);
});

test("a hop that one of its addresses leads to has done its part", async () => {
  const { code, text } = await trace(greeter.address, [`http://localhost:${near.at.port}`]);
  assertEquals(code, 0);
  assertMatch(text, /^ 1 ● http:\/\/localhost/m);
});

test("the same hop twice on the way is two hops", async () => {
  const { text } = await trace(greeter.address, [first(), second(), first()]);
  assertEquals(text.match(/^ \d ● /gm), [" 1 ● ", " 2 ● ", " 3 ● ", " 4 ● "]);
});

test("a hop that keeps silent is told of as such", async () => {
  await using silent = await scripted();
  const { code, text } = await trace(greeter.address, [`http://${silent.address}?timeout=300ms`]);
  assertEquals(code, 1);
  assertMatch(
    text,
    /^ 1 ✘ [^]*│ {2}request +[\d.]+ m?s {2}✘\n\n✘ broken at hop 1, [^]*timed out after 300 ms/m,
  );
});

test("a target that says nothing by itself is reached all the same", async () => {
  await using silent = await scripted();
  const { code, text } = await trace(silent.address, [first()]);
  assertEquals(code, 0);
  assertMatch(text, /first byte .* it says nothing by itself\n\n✔/);
});

test("a target that hangs up without a word is told of", async () => {
  await using rude = await scripted((wire) => wire.end());
  const { code, ok, warning } = await traced(rude.address, [first()]);
  assertEquals([code, ok, warning], [0, true, "the target ended the connection before it said anything"]);
});

const broken: [
  what: string,
  hops: () => Promise<string[]> | string[],
  error: { code: string; hop: number; stage: string },
  says: RegExp,
][] = [
  [
    "a closed port at the first hop",
    async () => [`http://127.0.0.1:${await freePort()}`, second()],
    { code: "refused", hop: 1, stage: "connect" },
    /broken at hop 1, .* connection refused[^]*→ nothing listens at that address/,
  ],
  [
    "a name that is not known",
    () => ["http://proxy.invalid:8080"],
    { code: "resolve", hop: 1, stage: "resolve" },
    /name not found:\s+proxy\.invalid[^]*→ the name is not known here/,
  ],
  [
    "a hop that can't reach the next",
    async () => [first(), `socks5://127.0.0.1:${await freePort()}`],
    { code: "refused", hop: 1, stage: "request" },
    /broken at hop 1, [^]*502[^]*→ the hop is fine, but nothing listens where it was sent/,
  ],
  [
    "a certificate for another name",
    () => [first(), second("s3cret", "other.test")],
    { code: "tls", hop: 2, stage: "tls" },
    /certificate of relay\.test [^]*✘\n\n✘ broken at hop 2, [^]*for\s+another\s+name[^]*→ check the server's name/,
  ],
  [
    "wrong credentials",
    () => [first(), second("wrong")],
    { code: "auth", hop: 2, stage: "auth" },
    /broken at hop 2, .*, auth: the server refused the\s+credentials[^]*→ check user name and password/,
  ],
  [
    "TLS where none is spoken",
    () => [`https://127.0.0.1:${near.at.port}`],
    { code: "tls", hop: 1, stage: "tls" },
    /broken at hop 1, [^]*→ check the server's name/,
  ],
];

for (const [what, hops, error, says] of broken) {
  test(`${what}: the trace says where, at what stage, why, and what to try`, async () => {
    const chain = await hops();
    const { code, text } = await trace(greeter.address, chain);
    assertEquals(code, 1);
    assertMatch(text, says);
    assertEquals(text.split("\n").filter((line) => line.length > 80), []);
    const result = await traced(greeter.address, chain);
    const { code: kind, hop, stage } = result.error;
    assertEquals([result.code, result.ok, kind, hop, stage], [1, false, error.code, error.hop, error.stage]);
    assert(result.advice.length > 0 && result.error.message.length > 0);
  });
}

test("a hop whose certificate does not hold gets no credentials from a trace either", async () => {
  const { code, text } = await trace(greeter.address, [second("s3cret", "other.test")], "--json");
  assertEquals(code, 1);
  assert(!outline(JSON.parse(text)).includes("1 auth"), text);
  const failure = (await far.logged("tunnel.failed")).fields;
  assertEquals(failure.user, undefined);
});

test("--count repeats it, and sums up what each step took", async () => {
  const { code, text } = await trace(greeter.address, [first()], "--count", "3");
  assertEquals(code, 0);
  assertMatch(text, /^ +min +median +max$/m);
  assertMatch(text, /^ {3}│ {2}request(?: +[\d.]+ m?s){3}$/m);
  assertMatch(text, /^✔ 127\.0\.0\.1:\d+: 3 of 3 reached$/m);
  const { runs, failed, steps, total, traces } = await traced(greeter.address, [first()], "--count", "3");
  assertEquals([runs, failed, traces.length], [3, 0, 3]);
  for (const { n, min, median, max } of [...steps, total]) {
    assert(n === 3 && min <= median && median <= max, JSON.stringify(steps));
  }
});

test("of several that fail, the first is shown", async () => {
  const { code, text } = await trace(greeter.address, [second("wrong")], "--count", "2");
  assertEquals(code, 1);
  assertMatch(text, /✘ 127\.0\.0\.1:\d+: 0 of 2 reached\n\nThe first that failed:\n[^]*broken at hop 1/);
});

test("routes choose the way for whoever is named, and one that rejects ends the trace here", async () => {
  const configuration = configured(directory, {
    listeners: [{ address: "127.0.0.1:1080", users: [{ username: "alice", password: "s3cret" }] }],
    chains: { out: [first()] },
    routes: [
      { to: ["10.0.0.0/8"], via: "reject" },
      {
        users: ["alice"],
        listeners: ["127.0.0.1:1080"],
        protocols: ["http"],
        from: ["192.0.2.0/24"],
        via: "out",
      },
      { via: "direct" },
    ],
  });
  const nobody = await traced(greeter.address, [], ...configuration);
  assertEquals([nobody.code, nobody.route, nobody.via], [0, 3, []]);
  const who = [
    "--user",
    "alice",
    "--listener",
    "127.0.0.1:1080",
    "--protocol",
    "http",
    "--from",
    "192.0.2.7",
  ];
  const alice = await traced(greeter.address, [], ...configuration, ...who);
  assertEquals([alice.code, alice.route, alice.via], [0, 2, [first()]]);
  const { code, text } = await trace("10.1.2.3:80", [], ...configuration);
  assertEquals(code, 1);
  assertMatch(text, /^10\.1\.2\.3:80 .*\(route 1\)\n[^]*broken here, [^]*route 1 rejects this/);
});

test("a client that can't be is a mistake on the command line", async () => {
  const cases = [
    ["--from", "office", "expected an IP address"],
    ["--listener", "127.0.0.1:9", "expected one of 127.0.0.1:1080"],
    ["--protocol", "gopher", "expected one of socks5"],
  ];
  for (const [option, value, expected] of cases) {
    const { code, stderr } = await hoplineCommand(["trace", greeter.address, option, value]);
    assertEquals(code, 2);
    assertStringIncludes(stderr, `hopline: ${option} is "${value}"; ${expected}`);
  }
});

test("the line that is written over is never wider than the terminal, where it would break", () => {
  const step = { hop: 1, label: "x".repeat(200), stage: "connect", subject: "", startMs: 0 } as const;
  assertEquals([20, 79, 200, undefined].map((columns) => progress([step], 5, columns).length), [
    19,
    78,
    79,
    79,
  ]);
});

test("a number of times that is none is a mistake on the command line", async () => {
  for (const count of ["0", "many", "1001", "-1"]) {
    const { code, stderr } = await hoplineCommand(["trace", greeter.address, `--count=${count}`]);
    assertEquals([code, stderr], [2, `hopline: --count is ${JSON.stringify(count)}; expected 1 to 1000\n`]);
  }
});
