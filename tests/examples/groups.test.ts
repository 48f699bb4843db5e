/**
 * groups.jsonc: two relays behind an office's proxy, and no proxy at all when that is gone.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fetchThrough } from "../support/fetch.ts";
import { type Hopline, hopline, hoplineCommand, root } from "../support/hopline.ts";
import { blob, echoOrigin, type Origin, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";

const example = join(root, "examples", "groups.jsonc");
const stack = new AsyncDisposableStack();
let web: WebOrigin;
let check: Origin;
let office: Hopline;
let laptop: Hopline;
before(async () => {
  web = stack.use(await webOrigin());
  check = stack.use(await echoOrigin());
  const [home, spare] = await Promise.all([hopline(["-L", "127.0.0.1:0"]), hopline(["-L", "127.0.0.1:0"])]);
  stack.use(home);
  stack.use(spare);
  office = stack.use(await hopline(["-L", "http://127.0.0.1:0"]));
  laptop = stack.use(
    await hopline(["-c", example], 1, {
      PORT: "0",
      OFFICE: office.address,
      HOME_RELAY: home.address,
      SPARE_RELAY: spare.address,
      CHECK: check.address,
    }),
  );
});
after(() => stack.disposeAsync());

/** Fetches through the laptop; tells the way. */
async function way(): Promise<string> {
  const trail = laptop.trail();
  const { code, stdout, stderr } = await fetchThrough("socks5", laptop.address, `${web.url}/blob`);
  assertEquals([code, sha256(stdout)], [0, sha256(blob)], stderr);
  return (await trail.find("tunnel.closed", { target: web.address })).via.join(" > ");
}

test("the relays take turns behind the office, and without it the way is direct", async () => {
  assertEquals([await way(), await way()], ["office > home", "office > spare"]);
  const trail = laptop.trail();
  await office.stop();
  assertEquals(await way(), "");
  const { group, member, reason } = await trail.find("member.down");
  assertEquals([group, member], [
    "failover(office > leastTunnels(home, spare), direct)",
    "office > leastTunnels(home, spare)",
  ]);
  assertMatch(reason, /^connect: connection refused/);
  assertEquals(await way(), "");
});

test("it passes the check as it stands", async () => {
  const { code, stderr } = await hoplineCommand(["check", example]);
  assertEquals([code, stderr], [0, ""]);
});
