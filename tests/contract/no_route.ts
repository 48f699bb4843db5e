/**
 * A program for no_route.test.ts, run where there are few ways to go: it prints what connecting comes to.
 *
 * @module
 */
import { ProxyError } from "../../src/core/errors.ts";
import { background } from "../../src/core/handshake.ts";
import { currentRuntime } from "../../src/runtime/runtime.ts";

const runtime = await currentRuntime();
for (const hostname of ["203.0.113.1", "198.51.100.1", "127.0.0.1"]) {
  const error = await runtime.connect({ hostname, port: 9 }, background).catch((error) => error);
  console.log(hostname, error instanceof ProxyError ? error.code : error);
}
