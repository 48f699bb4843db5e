/**
 * The idle connections to servers: few for each client, and not too many in all.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { test } from "node:test";
import { BufferedConn } from "../../src/core/conn.ts";
import type { Destination } from "../../src/core/serve.ts";
import { Pool } from "../../src/protocols/http_pool.ts";
import { FakeConn } from "../support/fake_conn.ts";

const destination: Destination = { target: { hostname: "site.test", port: 80 } };
const way = {};

test("of all that wait, the one that has waited longest makes room", () => {
  const pools = Array.from({ length: 65 }, () => new Pool());
  const conns: FakeConn[] = [];
  for (const pool of pools) {
    for (let count = 0; count < 8; count++) {
      const conn = new FakeConn();
      conns.push(conn);
      pool.put(destination, { conn: new BufferedConn(conn), way });
    }
  }
  const closed = () => conns.flatMap(({ calls }, index) => calls.length > 0 ? [index] : []);
  assertEquals(closed(), [0, 1, 2, 3, 4, 5, 6, 7]);
  assertEquals(pools[0].take(destination, way), undefined);
  // Those that are taken up wait no longer.
  const taken = pools[1].take(destination, way)!;
  pools[0].put(destination, { conn: new BufferedConn(new FakeConn()), way });
  assertEquals(closed().length, 8);
  taken.conn.close();
  for (const pool of pools) pool.close();
  assertEquals(closed().length, conns.length);
});
