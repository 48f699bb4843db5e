/**
 * The index finds what going through the rules one by one would find.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { parsePattern } from "../../src/routing/pattern.ts";
import { type Asked, type Conditions, factsOf, ruleOf, unmet } from "../../src/routing/rule.ts";
import { entriesOf, RuleIndex } from "../../src/routing/rule_index.ts";

// Few words, so that rules and requests meet often.
const label = fc.constantFrom("a", "b", "www");
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
const octet = fc.constantFrom(0, 10, 127, 128, 255);
const ipv4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join("."));
const group = fc.constantFrom("0", "1", "8000", "ffff", "2001");
const ipv6 = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":"));
const address = fc.oneof(ipv4, ipv6);
const block = fc.oneof(
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([ip, bits]) => `${ip}/${bits}`),
  fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([ip, bits]) => `${ip}/${bits}`),
  address,
);
const port = fc.constantFrom(1, 22, 80, 443, 444, 8080, 65535);
const ports = fc.oneof(
  fc.constant(""),
  port.map((one) => `:${one}`),
  fc.tuple(port, port).map(([a, b]) => `:${Math.min(a, b)}-${Math.max(a, b)}`),
);
const host = fc.oneof(
  { weight: 3, arbitrary: name },
  { weight: 2, arbitrary: name.map((below) => `*.${below}`) },
  { weight: 3, arbitrary: block.map((text) => text.includes(":") ? `[${text}]` : text) },
  { weight: 1, arbitrary: fc.constant("*") },
);
const pattern = fc.tuple(host, ports).map((parts) => parsePattern(parts.join("")));
const cidr = block.map((text) => {
  const [address, prefix] = text.split("/");
  return { address, prefix: prefix === undefined ? (address.includes(":") ? 128 : 32) : Number(prefix) };
});
const some = <T>(one: fc.Arbitrary<T>) =>
  fc.option(fc.array(one, { minLength: 1, maxLength: 3 }), { nil: undefined, freq: 2 });
const user = fc.constantFrom("alice", "bob", "carol");
const protocol = fc.constantFrom("socks5", "http", "sni");
const conditions: fc.Arbitrary<Conditions> = fc.record({
  to: fc.option(fc.array(pattern, { minLength: 1, maxLength: 4 }), { nil: undefined, freq: 8 }),
  from: some(cidr),
  users: some(user),
  listeners: some(fc.integer({ min: 0, max: 2 })),
  protocols: some(protocol),
});
const asked: fc.Arbitrary<Asked> = fc.record({
  target: fc.record({
    hostname: fc.oneof(name, name.map((text) => `${text.toUpperCase()}.`), address),
    port,
  }),
  client: fc.option(address.map((hostname) => ({ source: { hostname, port: 1 } })), { nil: undefined }),
  user: fc.option(user, { nil: undefined }),
  listener: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
  protocol: fc.option(protocol, { nil: undefined }),
});

for (const most of [8, 60, 400]) {
  test(`among up to ${most} rules it finds the first that matches`, () => {
    const rules = fc.array(conditions, { minLength: most / 4, maxLength: most, size: "max" });
    fc.assert(
      fc.property(rules, fc.array(asked, { minLength: 20, maxLength: 20 }), (given, requests) => {
        const rules = given.map(ruleOf);
        const index = new RuleIndex(entriesOf(rules));
        for (const request of requests) {
          const facts = factsOf(request);
          const first = rules.findIndex((rule) => unmet(rule, facts) === undefined);
          assertEquals(index.find(facts)?.order ?? -1, first);
          if (first >= 0) assertEquals(index.find(facts, first), undefined, "nothing stands before it");
        }
      }),
      { numRuns: most > 100 ? 60 : 200 },
    );
  });
}

test("rules that differ in one condition alone are told apart by it", () => {
  const numbers = Array.from({ length: 3000 }, (_, index) => index);
  const kinds: [(n: number) => Conditions, (n: number) => Partial<Asked>][] = [
    [(n) => ({ users: [`user${n}`] }), (n) => ({ user: `user${n}` })],
    [(n) => ({ listeners: [n] }), (n) => ({ listener: n })],
    [
      (n) => ({ from: [{ address: `10.0.${n >> 8}.${n & 255}`, prefix: 32 }] }),
      (n) => ({ client: { source: { hostname: `10.0.${n >> 8}.${n & 255}`, port: 1 } } }),
    ],
    [(n) => ({ to: [parsePattern(`*:${n + 1}`)] }), (n) => ({ target: { hostname: "x", port: n + 1 } })],
    [(n) => ({ to: [parsePattern(`same:${20 * n + 1}-${20 * n + 20}`)] }), (n) => ({
      target: { hostname: "same", port: 20 * n + 20 },
    })],
  ];
  for (const [rule, request] of kinds) {
    const index = new RuleIndex(entriesOf(numbers.map(rule).map(ruleOf)));
    for (const n of [0, 1, 1500, 2999]) {
      const facts = factsOf({ target: { hostname: "x", port: 9 }, ...request(n) });
      assertEquals(index.find(facts)?.order, n);
    }
  }
});

test("two long lists in many rules do not multiply", () => {
  const users = Array.from({ length: 300 }, (_, index) => `user${index}`);
  const from = users.map((_, index) => ({ address: `10.0.${index >> 8}.${index & 255}`, prefix: 32 }));
  const rules = Array.from({ length: 300 }, (_, index) => ruleOf({ users, from, listeners: [index] }));
  const index = new RuleIndex(entriesOf(rules));
  const client = { source: { hostname: "10.0.0.7", port: 1 } };
  const facts = factsOf({ target: { hostname: "x", port: 1 }, user: "user7", client, listener: 250 });
  assertEquals(index.find(facts)?.order, 250);
});
