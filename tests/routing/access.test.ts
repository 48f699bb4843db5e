/**
 * Access rules against every spelling, and after resolution: what is connected to is what was checked.
 *
 * @module
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { test } from "node:test";
import { validateConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { ProxyError } from "../../src/core/errors.ts";
import { makeGuard } from "../../src/routing/access.ts";
import { chainDialer } from "../../src/routing/via.ts";
import { background } from "../../src/core/handshake.ts";
import { Scope, told } from "../../src/core/scope.ts";
import { FakeConn } from "../support/fake_conn.ts";

/** Dials directly as a client of a listener off the loopback, and tells what was connected to. */
async function dialling(access: ConfigInput["access"] = {}, names: Record<string, string[][]> = {}) {
  const connected: string[] = [];
  const lookups: string[] = [];
  const guard = makeGuard((await validateConfig({ access })).access, false)!;
  const dialer = chainDialer([], {
    network: {
      connect: ({ hostname }) => {
        connected.push(hostname);
        return Promise.resolve(new FakeConn());
      },
      resolve: (hostname, family) => {
        if (family === 6) lookups.push(hostname);
        // Each lookup may be told something else, as a name that rebinds is.
        const answers = names[hostname] ?? [[]];
        const found = answers[Math.min(lookups.length, answers.length) - 1] ?? [];
        return Promise.resolve(found.filter((address) => address.includes(":") === (family === 6)));
      },
    },
    timeouts: { connect: 1000 },
  });
  const dial = async (hostname: string, port = 443) => {
    const target = { hostname, port };
    const why = guard.asked(target);
    if (why !== undefined) return why;
    connected.length = 0;
    try {
      await dialer.dial(target, told(new Scope(background), { guard }));
      return [...connected];
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      assertEquals(connected, [], "nothing was connected to");
      if (error.code !== "denied") return error.message;
      assertEquals([error.hop, error.label], [0, "hopline"]);
      return "denied";
    }
  };
  return { dial, lookups };
}

const spellings = [
  "127.0.0.1",
  "127.0.0.1.",
  "2130706433",
  "0x7f000001",
  "0x7f.1",
  "0177.0.0.1",
  "0177.1",
  "127.1",
  "127.0.1",
  "00000177.0.0.1",
  "0x7F.0x0.0x0.0x1",
  "::1",
  "0:0:0:0:0:0:0:1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "::127.0.0.1",
  "64:ff9b::127.0.0.1",
  "64:ff9b:1::127.0.0.1",
  "2002:7f00:1::",
  "2002:7f00:0001::1",
  "2001:0:7f00:1::",
  "2001:0:4136:e378:8000:63bf:80ff:fffe",
  "::ffff:0:127.0.0.1",
  "fe80::1",
  "fe80::1%eth0",
  "0.0.0.0",
  "0",
  "::",
  "169.254.169.254",
  "0xa9fea9fe",
  "2852039166",
  "0251.0376.0251.0376",
  "::ffff:169.254.169.254",
  "fd00:ec2::254",
  "10.0.0.1",
  "172.16.0.1",
  "192.168.1.1",
  "100.100.100.200",
  "192.0.0.192",
  "224.0.0.1",
  "255.255.255.255",
  "ff02::1",
];

for (const hostname of spellings) {
  test(`${hostname} is denied, and nothing looked up or connected to`, async () => {
    const { dial, lookups } = await dialling();
    assertEquals([await dial(hostname), lookups], ["denied", []]);
  });
}

test("public addresses are reached as what they are, in whatever spelling", async () => {
  const { dial, lookups } = await dialling();
  assertEquals(await dial("8.8.8.8"), ["8.8.8.8"]);
  assertEquals(await dial("0x08080808"), ["8.8.8.8"]);
  assertEquals(await dial("::ffff:8.8.8.8"), ["8.8.8.8"]);
  assertEquals(await dial("64:ff9b::8.8.8.8"), ["64:ff9b::808:808"]);
  assertEquals(await dial("2606:4700::1"), ["2606:4700::1"]);
  assertEquals(lookups, []);
});

test("a name is denied for its addresses, and only those that may be are connected to", async () => {
  const { dial } = await dialling({}, {
    "localhost": [["127.0.0.1", "::1"]],
    "localhost.": [["127.0.0.1", "::1"]],
    "metadata.example": [["169.254.169.254"]],
    "six.example": [["::ffff:10.0.0.1", "fe80::1%eth0"]],
    "mixed.example": [["10.0.0.1", "8.8.8.8", "::1"]],
    "odd.example": [["not an address"]],
    "good.example": [["2606:4700::1", "8.8.8.8"]],
  });
  for (const name of ["localhost", "localhost.", "metadata.example", "six.example", "odd.example"]) {
    assertEquals(await dial(name), "denied", name);
  }
  assertEquals(await dial("mixed.example"), ["8.8.8.8"]);
  assertEquals(await dial("good.example"), ["2606:4700::1"]);
  assertMatch(String(await dial("unknown.example")), /has no address/);
});

test("a name is looked up once: what it says next is too late", async () => {
  const { dial, lookups } = await dialling({}, { "rebind.example": [["8.8.8.8"], ["127.0.0.1"]] });
  assertEquals(await dial("rebind.example"), ["8.8.8.8"]);
  assertEquals(lookups.length, 1);
  assertEquals(await dial("rebind.example"), "denied");
});

test("access.allow excepts from access.private, access.deny denies in any case", async () => {
  const { dial } = await dialling({
    allow: ["10.1.0.0/16", "intra.example:443", "*.lab.example", "8.8.8.8", "127.0.0.1:8080"],
    deny: ["10.1.2.0/24", "8.8.4.4", "bad.example", "*.bad.example", "*:25"],
  }, {
    "intra.example": [["10.9.9.9"]],
    "a.lab.example": [["192.168.0.1"]],
    "b.lab.example": [["10.1.2.3"]],
    "ok.example": [["8.8.4.4", "1.1.1.1"]],
    "no.example": [["8.8.4.4"]],
  });
  assertEquals(await dial("10.1.0.1"), ["10.1.0.1"]);
  assertEquals(await dial("10.2.0.1"), "denied");
  assertEquals(await dial("intra.example"), ["10.9.9.9"]);
  assertEquals(await dial("intra.example", 80), "denied");
  assertEquals(await dial("a.lab.example"), ["192.168.0.1"]);
  assertEquals(await dial("b.lab.example"), "denied", "deny wins over allow");
  assertEquals(await dial("0x7f.1", 8080), ["127.0.0.1"]);
  assertEquals(await dial("ok.example"), ["1.1.1.1"]);
  assertEquals(await dial("no.example"), "denied");
  for (
    const [name, port] of [["BAD.example.", 443], ["www.bad.example", 443], [
      "0x08.0x08.0x04.0x04",
      443,
    ]] as const
  ) {
    assertEquals(await dial(name, port), `${name} is listed in access.deny`);
  }
  assertEquals(await dial("ok.example", 25), "ok.example is listed in access.deny");
});

test("access.private is allow or deny for everybody, or depends on the listener", () => {
  const target = { hostname: "127.0.0.1", port: 1 };
  const reached = (access: "allow" | "deny" | undefined, onLoopback: boolean) =>
    makeGuard({ private: access }, onLoopback)?.reached(target, "127.0.0.1") === undefined;
  assertEquals([reached(undefined, true), reached(undefined, false)], [true, false]);
  assertEquals([reached("allow", false), reached("deny", true)], [true, false]);
});

test("a chain's own hops are not kept from anybody; what a group would dial itself is", async () => {
  const connected: string[] = [];
  const network = {
    connect: ({ hostname }: { hostname: string }) => {
      connected.push(hostname);
      return Promise.reject(new ProxyError("no", { code: "refused", side: "upstream", stage: "connect" }));
    },
    resolve: () => Promise.resolve([]),
  };
  const dial = async (chain: NonNullable<ConfigInput["chains"]>[string]) => {
    const { chains, timeouts } = await validateConfig({ chains: { chain } });
    connected.length = 0;
    const guard = makeGuard({}, false);
    const dialer = chainDialer(chains.chain, { network, timeouts });
    const target = { hostname: "10.0.0.1", port: 1 };
    const error = await assertRejects(() => dialer.dial(target, told(background, { guard })), ProxyError);
    return [error.code, ...connected];
  };
  assertEquals(await dial(["http://127.0.0.1:3128"]), ["refused", "127.0.0.1"]);
  assertEquals(await dial([{ failover: ["direct"] }, "http://127.0.0.2:3128"]), ["refused", "127.0.0.2"]);
  assertEquals(await dial([{ failover: ["direct"] }]), ["denied"]);
  assertEquals(await dial([{ failover: ["http://127.0.0.3:1", "direct"] }]), ["denied", "127.0.0.3"]);
});
