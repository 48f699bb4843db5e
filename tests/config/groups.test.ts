/**
 * Groups in chains and routes, as configurations say them.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { parseConfig, validateConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problems.ts";
import { type ConfigInput, jsonSchema } from "../../src/config/schema.ts";
import { rejectionOf } from "../support/errors.ts";
import { spelled } from "./elements.ts";

const hops = { a: "socks5://a", b: "http://b", c: "https://c" };

async function chainOf(elements: unknown[], chains: Record<string, unknown[]> = {}): Promise<string> {
  const config = await validateConfig({ hops, chains: { ...chains, cli: elements } } as ConfigInput);
  return spelled(config.chains.cli);
}

test("a group stands in a chain, with hops by name, URL and object, lists, chains, groups and direct", async () => {
  assertEquals(await chainOf(["a", { failover: ["b", "c"] }, "c"]), "a > failover(b, c) > c");
  assertEquals(
    await chainOf([{
      roundRobin: [
        "a",
        "socks5://x",
        { protocol: "http", address: "y" },
        ["b", { fastest: ["c"] }],
        "direct",
      ],
    }]),
    "roundRobin(a, x, y, b > fastest(c), direct=[])",
  );
  assertEquals(
    await chainOf([{ leastTunnels: ["out", { failover: ["a", "out"] }] }], { out: ["b", "c"] }),
    "leastTunnels(out=[b > c], failover(a, out=[b > c]))",
  );
});

test("members of a random group may have weights", async () => {
  assertEquals(
    await chainOf([{
      random: ["a", { via: "b", weight: 3 }, { via: ["c", "a"] }, { via: "out", weight: 2 }],
    }], {
      out: ["a"],
    }),
    "random(a, b*3, c > a, out=[a]*2)",
  );
});

test("a check has a target and a time", async () => {
  const config = await parseConfig(
    `chains: { out: [{ failover: [socks5://a], check: { target: "example.com:443" } }],
      cli: [{ fastest: [socks5://a], check: { target: "[::1]:80", every: 250ms } }] }`,
    { format: "yaml" },
  );
  const checks = [config.chains.out, config.chains.cli].map(([group]) => "members" in group && group.check);
  assertEquals(checks, [
    { target: { hostname: "example.com", port: 443 }, every: 30_000 },
    { target: { hostname: "::1", port: 80 }, every: 250 },
  ]);
});

test("a route goes by a group, alone or in a list", async () => {
  const { routes } = await validateConfig({
    hops,
    chains: { x: ["b", "c"] },
    routes: [{ via: { failover: ["x", "a"] } }, { via: ["a", { random: ["b", "c"] }] }],
  });
  const vias = routes!.map(({ via }) => via === "reject" ? via : spelled(via.hops));
  assertEquals(vias, ["failover(x=[b > c], a)", "a > random(b, c)"]);
});

const wrong: [what: string, chains: Record<string, unknown>, problems: string[]][] = [
  ["nobody", { x: [{ failover: [] }] }, ["chains.x[0].failover: expected at least 1 entry, found 0"]],
  ["names that are not there, with a hint", {
    out: ["a"],
    cli: [{ failover: ["aa", "ou", ["bb"], "direkt"] }],
  }, [
    'chains.cli[0].failover[0]: expected "direct", or the name of a hop or chain, or a hop\'s URL, found "aa"; did you mean `a`?',
    'chains.cli[0].failover[1]: expected "direct", or the name of a hop or chain, or a hop\'s URL, found "ou"; did you mean `out`?',
    'chains.cli[0].failover[2][0]: expected a hop\'s name or URL, found "bb"; did you mean `b`?',
    'chains.cli[0].failover[3]: expected "direct", or the name of a hop or chain, or a hop\'s URL, found "direkt"; did you mean `direct`?',
  ]],
  ["what may be a secret is not told", { x: [{ failover: ["al:s3cret@h"] }] }, [
    'chains.x[0].failover[0]: expected "direct", or the name of a hop or chain, or a hop\'s URL, found something with an @',
  ]],
  ["a hop that is wrong", { x: [{ fastest: ["socks6://h", { protocol: "http" }] }] }, [
    'chains.x[0].fastest[0]: unknown scheme "socks6"; did you mean "socks5"?',
    "chains.x[0].fastest[1].address: is missing; expected a string",
  ]],
  ["two ways to choose", { x: [{ failover: ["a"], random: ["b"] }] }, [
    "chains.x[0].random: a group has one way to choose, and this one has `failover` too",
  ]],
  ["keys that are not known", { x: [{ failover: ["a"], chek: {} }, { random: [{ via: "a", weigth: 2 }] }] }, [
    "chains.x[0].chek: unknown key `chek`; did you mean `check`?",
    "chains.x[1].random[0].weigth: unknown key `weigth`; did you mean `weight`?",
  ]],
  ["a weight that is none, or where it has no meaning", {
    x: [{ random: [{ via: "a", weight: 0 }] }, { failover: [{ via: "a", weight: 2 }] }],
  }, [
    "chains.x[0].random[0].weight: expected more than 0, found 0",
    "chains.x[1].failover[0]: only `random` goes by weights; name the member alone",
  ]],
  ["a check of nothing, too often", { x: [{ failover: ["a"], check: { every: "0s" } }] }, [
    'chains.x[0].check.every: expected more than zero, found "0s"',
    "chains.x[0].check.target: is missing; expected a string",
  ]],
  ["chains that lead back to themselves", {
    cli: ["a", { failover: ["b", "y"] }],
    y: [{ random: ["a", { via: ["b", { fastest: ["z"] }], weight: 2 }] }],
    z: [{ failover: [["a", { failover: ["y"] }]] }],
  }, [
    'chains.y[0].random[1].via[1].fastest[0]: the chain "y" leads back to itself',
    'chains.z[0].failover[0][1].failover[0]: the chain "z" leads back to itself',
  ]],
  ["a name that a hop and a chain have", { cli: [{ failover: ["a"] }], a: ["b"] }, [
    'chains.cli[0].failover[0]: "a" is the name of a hop and of a chain: rename one of them',
  ]],
];
for (const [what, chains, problems] of wrong) {
  test(`refused: ${what}`, async () => {
    const error = await rejectionOf(validateConfig({ hops, chains } as ConfigInput));
    if (!(error instanceof ConfigError)) throw error;
    assertEquals(error.problems.map(({ path, message }) => `${path}: ${message}`), problems);
  });
}

test("a route's group is checked like a chain's", async () => {
  const error = await rejectionOf(validateConfig({ hops, routes: [{ via: { failover: ["x"] } }] }));
  assertEquals(
    String(error),
    'ConfigError: routes[0].via.failover[0]: expected "direct", or the name of a hop or chain, or a hop\'s URL, found "x"; did you mean `a`?',
  );
});

test("the JSON Schema has groups within groups", () => {
  const text = JSON.stringify(jsonSchema());
  for (const word of ["failover", "roundRobin", "random", "leastTunnels", "fastest", "weight", "check"]) {
    assertEquals(text.includes(`"${word}"`), true, word);
  }
});
