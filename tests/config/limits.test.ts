/**
 * Limits in a configuration: of tunnels, and of bandwidth.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { test } from "node:test";
import { validateConfig } from "../../src/config/load.ts";
import { ConfigError } from "../../src/config/problems.ts";
import type { ConfigInput } from "../../src/config/schema.ts";

test("a bandwidth is a size, for a user and for a listener", async () => {
  const { limits, listeners } = await validateConfig({
    listeners: [
      "127.0.0.1:1?bandwidth=10MiB",
      { address: "127.0.0.1:2", bandwidth: 10_485_760 },
      "127.0.0.1:3",
    ],
    limits: { tunnelsPerUser: 5, bandwidthPerUser: "1KiB" },
  });
  assertEquals([limits.tunnelsPerUser, limits.bandwidthPerUser], [5, 1024]);
  assertEquals(listeners.map(({ bandwidth }) => bandwidth), [10_485_760, 10_485_760, undefined]);
});

const refused: [what: string, input: unknown, problem: string][] = [
  [
    "no tunnel for a user",
    { limits: { tunnelsPerUser: 0 } },
    "limits.tunnelsPerUser: expected more than 0, found 0",
  ],
  [
    "another unit",
    { limits: { bandwidthPerUser: "1Mbit" } },
    'limits.bandwidthPerUser: expected a size such as "16KiB" or "1MiB", found "1Mbit"',
  ],
  [
    "too little",
    { listeners: [{ address: "127.0.0.1:1", bandwidth: "1023B" }] },
    'listeners[0].bandwidth: expected at least "1KiB" (1024 bytes), found 1023 bytes',
  ],
  [
    "a URL without a unit",
    { listeners: ["127.0.0.1:1?bandwidth=1000"] },
    'listeners[0]: bandwidth: expected a size such as "16KiB" or "1MiB", found "1000"',
  ],
  [
    "bandwidth for a listener among the limits",
    { limits: { bandwidth: "1MiB" } },
    "limits.bandwidth: unknown key `bandwidth`; did you mean `bandwidthPerUser`?",
  ],
];

for (const [what, input, problem] of refused) {
  test(`refused: ${what}`, async () => {
    const { problems } = await assertRejects(
      () => validateConfig(input as ConfigInput),
      ConfigError,
    ) as ConfigError;
    assertEquals(problems.map(({ path, message }) => `${path}: ${message}`), [problem]);
  });
}
