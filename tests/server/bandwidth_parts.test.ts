/**
 * Bandwidth where several servers serve one configuration.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { withPartOfBandwidths } from "../../src/bandwidths.ts";
import { validateConfig } from "../../src/config/load.ts";

test("each of several servers has its part of every bandwidth, and nothing else is parted", async () => {
  const config = await validateConfig({
    listeners: ["127.0.0.1:1?bandwidth=10MiB", "127.0.0.1:2"],
    limits: { bandwidthPerUser: "1MiB" },
  });
  const { limits, listeners, ...rest } = withPartOfBandwidths(config, 3);
  const { limits: whole, listeners: [first, second], ...others } = config;
  assertEquals(rest, others);
  assertEquals(limits, { ...whole, bandwidthPerUser: 349_525 });
  assertEquals(listeners, [{ ...first, bandwidth: 3_495_253 }, { ...second, bandwidth: undefined }]);
  assertEquals(withPartOfBandwidths(config, 1).limits, whole);
});
