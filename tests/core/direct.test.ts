/**
 * Happy Eyeballs. Delays are an hour or a millisecond, so what is seen is order and never the clock.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { afterEach, test } from "node:test";
import { delays, directDialer } from "../../src/core/direct.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import { failureOf, rejectionOf } from "../support/errors.ts";
import { FakeNetwork, settle } from "../support/fake_network.ts";

const standard = { ...delays };
const hour = 3_600_000;
const target = { hostname: "name.example", port: 80 };
afterEach(() => {
  Object.assign(delays, standard);
});

function start(set: { resolution?: number; attempt?: number } = {}, signal?: AbortSignal) {
  Object.assign(delays, { resolution: hour, attempt: hour, ...set });
  const network = new FakeNetwork();
  const dialed = directDialer(network).dial(target, signal && { signal });
  dialed.catch(() => {});
  return { network, dialed };
}

test("the delays are those of RFC 8305", () => assertEquals(delays, { resolution: 50, attempt: 250 }));

test("an address is connected to as it is", async () => {
  for (const hostname of ["192.0.2.1", "2001:db8::1"]) {
    const network = new FakeNetwork();
    const dialed = directDialer(network).dial({ hostname, port: 80 });
    const attempt = await network.attempt(0);
    attempt.succeed();
    assertStrictEquals(await dialed, attempt.conn);
    assertEquals([network.lookups.length, network.attempts.length], [0, 1]);
  }
});

test("both families are looked up at once", async () => {
  const { network, dialed } = start();
  assertEquals(network.lookups.map(({ hostname, family }) => [hostname, family]), [
    ["name.example", 6],
    ["name.example", 4],
  ]);
  network.unknown(4);
  network.unknown(6);
  await rejectionOf(dialed);
});

test("attempts start with IPv6 and take turns between the families", async () => {
  const { network, dialed } = start({ attempt: 1 });
  network.answer(4, "192.0.2.1", "192.0.2.2", "192.0.2.3");
  network.answer(6, "2001:db8::1", "2001:db8::2");
  (await network.attempt(4)).succeed();
  await dialed;
  assertEquals(network.order, [
    "[2001:db8::1]:80",
    "192.0.2.1:80",
    "[2001:db8::2]:80",
    "192.0.2.2:80",
    "192.0.2.3:80",
  ]);
});

test("IPv6 addresses are tried as soon as they come", async () => {
  const { network, dialed } = start();
  network.answer(6, "2001:db8::1");
  (await network.attempt(0)).succeed();
  await dialed;
  assertEquals(network.order, ["[2001:db8::1]:80"]);
});

test("IPv4 addresses wait a little for IPv6 ones", async () => {
  const { network, dialed } = start();
  network.answer(4, "192.0.2.1");
  await settle();
  assertEquals(network.order, [], "the resolution delay runs");
  network.answer(6, "2001:db8::1");
  const attempt = await network.attempt(0);
  assertEquals(attempt.address, "[2001:db8::1]:80");
  attempt.succeed();
  await dialed;
});

test("after that delay IPv4 goes ahead, and IPv6 takes the next turn", async () => {
  const { network, dialed } = start({ resolution: 1 });
  network.answer(4, "192.0.2.1", "192.0.2.2");
  const first = await network.attempt(0);
  network.answer(6, "2001:db8::1");
  await settle();
  first.fail("refused");
  (await network.attempt(1)).succeed();
  await dialed;
  assertEquals(network.order, ["192.0.2.1:80", "[2001:db8::1]:80"]);
});

test("the next attempt waits its turn", async () => {
  const { network, dialed } = start();
  network.answer(6, "2001:db8::1");
  network.answer(4, "192.0.2.1");
  await settle();
  assertEquals(network.order, ["[2001:db8::1]:80"]);
  network.attempts[0].succeed();
  await dialed;
});

test("addresses that come when their turn has passed are tried at once", async () => {
  const { network, dialed } = start({ attempt: 1 });
  network.answer(6, "2001:db8::1");
  await network.attempt(0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  delays.attempt = hour;
  network.answer(4, "192.0.2.1");
  (await network.attempt(1)).succeed();
  await dialed;
  assertEquals(network.order, ["[2001:db8::1]:80", "192.0.2.1:80"]);
});

test("after a refusal the next attempt starts at once", async () => {
  const { network, dialed } = start();
  network.answer(4, "192.0.2.1");
  network.answer(6, "2001:db8::1");
  (await network.attempt(0)).fail("refused");
  const second = await network.attempt(1);
  second.succeed();
  assertStrictEquals(await dialed, second.conn);
});

test("a refusal before the other family is known waits for it", async () => {
  const { network, dialed } = start();
  network.answer(6, "2001:db8::1");
  (await network.attempt(0)).fail("refused");
  await settle();
  network.answer(4, "192.0.2.1");
  (await network.attempt(1)).succeed();
  await dialed;
});

for (const [missing, present, address] of [[6, 4, "192.0.2.1"], [4, 6, "2001:db8::1"]] as const) {
  for (const how of ["answer", "unknown"] as const) {
    for (const first of [missing, present]) {
      test(`a name without IPv${missing} (${how}) is reached by IPv${present}; IPv${first} is known first`, async () => {
        const { network, dialed } = start();
        const none = () => network[how](missing);
        if (first === missing) none();
        else network.answer(present, address);
        await settle();
        if (first === missing) network.answer(present, address);
        else none();
        const attempt = await network.attempt(0);
        attempt.succeed();
        assertStrictEquals(await dialed, attempt.conn);
      });
    }
  }
}

test("the first connection wins; the other attempts are cancelled, and closed when they come late", async () => {
  const { network, dialed } = start({ attempt: 1 });
  network.answer(6, "2001:db8::1", "2001:db8::2");
  network.answer(4, "192.0.2.1");
  const [first, second, third] = [
    await network.attempt(0),
    await network.attempt(1),
    await network.attempt(2),
  ];
  assert(!first.signal.aborted);
  second.succeed();
  assertStrictEquals(await dialed, second.conn);
  assert(first.signal.aborted && third.signal.aborted);
  assert(network.lookups.every(({ signal }) => signal.aborted));
  first.succeed();
  third.fail("refused");
  await settle();
  assertEquals([first.conn.calls, second.conn.calls], [["close"], []]);
  assertEquals(network.attempts.length, 3);
});

test("no attempt starts after the race is over", async () => {
  const { network, dialed } = start({ resolution: 1, attempt: 1 });
  network.answer(6, "2001:db8::1");
  (await network.attempt(0)).succeed();
  await dialed;
  network.answer(4, "192.0.2.1");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(network.order, ["[2001:db8::1]:80"]);
});

const telling: [first: ErrorCode, second: ErrorCode, told: ErrorCode][] = [
  ["netUnreachable", "refused", "refused"],
  ["refused", "netUnreachable", "refused"],
  ["netUnreachable", "timeout", "timeout"],
  ["unreachable", "netUnreachable", "unreachable"],
  ["timeout", "unreachable", "timeout"],
  ["denied", "unreachable", "denied"],
  ["failed", "refused", "refused"],
  ["limit", "netUnreachable", "limit"],
];
for (const [first, second, told] of telling) {
  test(`${first} over IPv6 and ${second} over IPv4 is ${told}`, async () => {
    const { network, dialed } = start();
    network.answer(6, "2001:db8::1");
    network.answer(4, "192.0.2.1");
    (await network.attempt(0)).fail(first);
    (await network.attempt(1)).fail(second);
    assertEquals((await failureOf(dialed)).code, told);
  });
}

for (const code of ["refused", "failed", "netUnreachable", "closed", "address"] as const) {
  test(`${code} over one family says more than that the other has no address`, async () => {
    const { network, dialed } = start();
    network.unknown(4);
    network.answer(6, "2001:db8::1");
    (await network.attempt(0)).fail(code);
    assertEquals((await failureOf(dialed)).code, code);
  });
}

test("a name that neither family knows is not found", async () => {
  const { network, dialed } = start();
  network.unknown(6);
  network.unknown(4);
  const { code, stage, message } = await failureOf(dialed);
  assertEquals([code, stage, message], ["resolve", "resolve", "resolve"], "the lookup's own error");
});

test("a name without any address says so", async () => {
  const { network, dialed } = start();
  network.answer(6);
  network.answer(4);
  const { code, stage, message } = await failureOf(dialed);
  assertEquals([code, stage, message], ["resolve", "resolve", "the name name.example has no address"]);
});

test("cancelling ends it with the reason, wherever it is", async () => {
  const reason = new Error("not wanted");
  const early = start({}, AbortSignal.abort(reason));
  assertStrictEquals(await rejectionOf(early.dialed), reason);
  assertEquals(early.network.lookups, []);

  const resolving = new AbortController();
  const one = start({}, resolving.signal);
  resolving.abort(reason);
  assertStrictEquals(await rejectionOf(one.dialed), reason);
  assert(one.network.lookups.every(({ signal }) => signal.aborted));
  one.network.answer(6, "2001:db8::1");
  await settle();
  assertEquals(one.network.order, []);

  const connecting = new AbortController();
  const two = start({}, connecting.signal);
  two.network.answer(6, "2001:db8::1");
  const attempt = await two.network.attempt(0);
  connecting.abort(reason);
  assertStrictEquals(await rejectionOf(two.dialed), reason);
  assert(attempt.signal.aborted);
  attempt.succeed();
  await settle();
  assertEquals(attempt.conn.calls, ["close"]);
});

test("a connection that was won is not touched by a later abort", async () => {
  const controller = new AbortController();
  const { network, dialed } = start({}, controller.signal);
  network.answer(6, "2001:db8::1");
  (await network.attempt(0)).succeed();
  const conn = await dialed;
  controller.abort();
  await settle();
  assertStrictEquals(conn, network.attempts[0].conn);
  assertEquals(network.attempts[0].conn.calls, []);
});
