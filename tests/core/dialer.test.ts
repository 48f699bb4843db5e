/**
 * Chains: a fold over hops whose errors say where they arose.
 *
 * @module
 */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { test } from "node:test";
import { formatEndpoint } from "../../src/core/address.ts";
import type { Conn, Endpoint } from "../../src/core/conn.ts";
import {
  type Dialer,
  fold,
  type Hop,
  limited,
  place,
  resolvingHop,
  tunnelHop,
} from "../../src/core/dialer.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { background, type Handshake, read, write } from "../../src/core/handshake.ts";
import { Trail } from "../../src/core/trail.ts";
import { fromUtf8, utf8 } from "../support/bytes.ts";
import { failureOf, rejectionOf } from "../support/errors.ts";
import { FakeConn } from "../support/fake_conn.ts";
import { failure } from "../support/fake_network.ts";

const target = { hostname: "target.example", port: 443 };

/** Gives one connection and remembers what it was asked for. */
class FakeDialer implements Dialer {
  readonly dialed: Endpoint[] = [];
  constructor(readonly conn: FakeConn, readonly error?: unknown) {}
  dial(target: Endpoint): Promise<Conn> {
    this.dialed.push(target);
    return this.error === undefined ? Promise.resolve(this.conn) : Promise.reject(this.error);
  }
}

/** Writes a line with the target, waits for a `+`. */
function plus(label: string, timeout = 60_000): Hop {
  function* handshake({ hostname }: Endpoint): Handshake<void> {
    yield* write(utf8(`${label}>${hostname};`));
    const [answer] = yield* read(1, "a plus");
    if (answer !== 43) {
      throw new ProxyError("no plus", { code: "denied", side: "upstream", stage: "request" });
    }
  }
  return tunnelHop({ label, server: { hostname: `${label}.example`, port: 1080 }, handshake, timeout });
}

const three = [plus("one"), plus("two"), plus("three")];

test("a chain asks each hop for the next one's server, and the last for the target", async () => {
  const first = new FakeDialer(new FakeConn(utf8("+++early"), null));
  const conn = await fold(first, three).dial(target);
  assertEquals(first.dialed, [{ hostname: "one.example", port: 1080 }]);
  assertEquals(fromUtf8(first.conn.sent), "one>two.example;two>three.example;three>target.example;");
  const p = new Uint8Array(10);
  assertEquals(fromUtf8(p.slice(0, (await conn.read(p))!)), "early");
  assertEquals(await conn.read(p), null);
  assertEquals(first.conn.calls, []);
});

test("no hops are no detour", () => {
  const first = new FakeDialer(new FakeConn());
  assertStrictEquals(fold(first, []), first);
});

const refusals: [answers: string, hop: number, label: string][] = [
  ["-", 1, "one"],
  ["+-", 2, "two"],
  ["++-", 3, "three"],
];
for (const [answers, hop, label] of refusals) {
  test(`a refusal by hop ${hop} of 3 is placed there, and ends the connection`, async () => {
    const first = new FakeDialer(new FakeConn(utf8(answers)));
    const error = await failureOf(fold(first, three).dial(target));
    assertEquals([error.hop, error.label, error.code, error.side], [hop, label, "denied", "upstream"]);
    assertEquals(first.conn.calls.includes("abort"), true);
  });
}

test("the way to the first server belongs to the first hop", async () => {
  const error = await failureOf(fold(new FakeDialer(new FakeConn(), failure("refused")), three).dial(target));
  assertEquals([error.hop, error.label, error.code], [1, "one", "refused"]);
});

test("an error that already has a place keeps it", async () => {
  const placed = failure("refused").at(7, "elsewhere");
  const error = await failureOf(fold(new FakeDialer(new FakeConn(), placed), three).dial(target));
  assertStrictEquals(error, placed);
});

test("what is no ProxyError becomes one, with its cause", async () => {
  const cause = new TypeError("broken");
  const error = await failureOf(place(new FakeDialer(new FakeConn(), cause), 4, "four").dial(target));
  assertEquals([error.code, error.hop, error.label, error.message], ["failed", 4, "four", "broken"]);
  assertStrictEquals(error.cause, cause);
});

test("a hop that says nothing is given up, and named", async () => {
  const first = new FakeDialer(new FakeConn(utf8("+")));
  const error = await failureOf(fold(first, [plus("one"), plus("two", 10)]).dial(target));
  assertEquals([error.code, error.hop, error.label], ["timeout", 2, "two"]);
  assertEquals(
    error.message,
    `asked for ${formatEndpoint(target)}: timed out after 10 ms waiting for a plus`,
  );
  assertEquals(first.conn.calls.includes("abort"), true);
});

test("a layer goes around the connection before the hop is asked", async () => {
  const outer = new FakeConn(utf8("+"));
  const server = { hostname: "s.example", port: 443 };
  const seen: unknown[] = [];
  const hop = tunnelHop({
    label: "layered",
    server,
    layer: (conn, at) => {
      seen.push(conn, at);
      return Promise.resolve(outer);
    },
    handshake: () => write(utf8("x")),
    timeout: 1000,
  });
  const first = new FakeDialer(new FakeConn());
  assertStrictEquals(await hop.wrap(first).dial(target), outer);
  assertStrictEquals(seen[0], first.conn);
  assertEquals([seen[1], fromUtf8(outer.sent), first.conn.writes], [server, "x", []]);
});

test("a cancelled dial aborts the connection", async () => {
  const first = new FakeDialer(new FakeConn());
  const controller = new AbortController();
  const dialed = plus("one").wrap(first).dial(target, controller);
  await Promise.resolve();
  const reason = new Error("not wanted");
  controller.abort(reason);
  assertStrictEquals(await rejectionOf(dialed), reason);
  assertEquals(first.conn.calls.includes("abort"), true);
});

test("a limited dialer gives up after its time", async () => {
  const never: Dialer = {
    dial: (_target, ctx) =>
      new Promise((_, reject) => ctx!.signal.addEventListener("abort", () => reject(ctx!.signal.reason))),
  };
  const error = await failureOf(limited(never, 5).dial(target));
  assertEquals([error.code, error.message], ["timeout", "timed out after 5 ms"]);
  const conn = new FakeConn();
  assertStrictEquals(await limited(new FakeDialer(conn), 5).dial(target), conn);
});

const known: Record<string, string[]> = { "4": ["192.0.2.7"], "6": ["2001:db8::7"] };
const resolutions: [families: (4 | 6)[], has: string, hostname: string, asked: string][] = [
  [[4], "46", "name.example", "192.0.2.7"],
  [[4, 6], "46", "name.example", "192.0.2.7"],
  [[4, 6], "6", "name.example", "2001:db8::7"],
  [[4], "46", "198.51.100.1", "198.51.100.1"],
  [[4], "46", "2001:db8::9", "2001:db8::9"],
];
for (const [families, has, hostname, asked] of resolutions) {
  test(`a hop that wants IPv${families} is asked for ${asked} when it is ${hostname}, which has ${has}`, async () => {
    const first = new FakeDialer(new FakeConn(utf8("+")));
    const resolve = (_name: string, family: 4 | 6) =>
      has.includes(String(family)) ? Promise.resolve(known[family]) : Promise.reject(failure("resolve"));
    const hop = resolvingHop(plus("one"), resolve, families);
    assertEquals(hop.label, "one");
    await hop.wrap(first).dial({ hostname, port: 443 });
    assertEquals(fromUtf8(first.conn.sent), `one>${asked};`);
  });
}

test("a name that can't be resolved is never sent on", async () => {
  const first = new FakeDialer(new FakeConn());
  for (const resolve of [() => Promise.resolve([]), () => Promise.reject(failure("resolve"))]) {
    const error = await failureOf(resolvingHop(plus("one"), resolve, [4, 6]).wrap(first).dial(target));
    assertEquals([error.code, error.stage, error.side], ["resolve", "resolve", "target"]);
  }
  assertEquals(first.dialed, []);
});

test("with a trail, positions count along the way that was taken, and it tells the names", async () => {
  const trail = new Trail();
  const first = new FakeDialer(new FakeConn(utf8("++-")));
  const chain = fold(first, [three[0], { ...three[1], name: "second" }, three[2]]);
  // As a group would: the fold does not know of the hop before it.
  const longer = place(chain, 1, "four");
  const error = await failureOf(place(longer, 1, "five").dial(target, { ...background, trail }));
  assertEquals([error.hop, error.label], [3, "three"]);
  assertEquals(trail.via, ["one", "second", "three", "four", "five"]);
});

test("a trail that leads on hands over its way and what it keeps busy", () => {
  const [load, longer, nearer] = [{ tunnels: 0 }, new Trail(), new Trail()];
  const exit = longer.pass("exit");
  nearer.pass("near");
  nearer.keepBusy(load);
  nearer.handTo(longer);
  assertEquals([longer.via, exit.position(), load.tunnels], [["near", "exit"], 2, 1]);
  longer.leave();
  longer.leave();
  assertEquals(load.tunnels, 0);
  longer.enter();
  longer.enter();
  assertEquals(load.tunnels, 1);
  longer.handTo(undefined);
  assertEquals(load.tunnels, 0);
});
