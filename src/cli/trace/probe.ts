/**
 * The first byte of a target: what it says by itself, or to the question that its port suggests.
 *
 * @module
 */
import { formatEndpoint } from "../../core/address.ts";
import { BufferedConn, type Conn, type Endpoint } from "../../core/conn.ts";
import { asProxyError, printable, ProxyError } from "../../core/errors.ts";
import { Scope } from "../../core/scope.ts";
import type { Trace } from "../../core/trace.ts";
import { tlsLayer } from "../../protocols/tls.ts";

/** How long a target may think about an answer, and how long it may keep silent that was asked nothing. */
const patience = { asked: 10_000, greeting: 1_000 };

/**
 * Waits for the first byte, and tells the trace: port 80 is asked by HTTP, port 443 inside TLS, whose certificate is
 * shown and not judged; others may greet. Closes the connection; resolves to what is odd, in words.
 */
export async function probe(conn: Conn, target: Endpoint, trace: Trace): Promise<string | undefined> {
  const asks = target.port === 80 || target.port === 443;
  const scope = new Scope(undefined, null, { trace }).limit(asks ? patience.asked : patience.greeting);
  try {
    if (target.port === 443) {
      conn = await tlsLayer({ insecure: true })(conn, target, scope);
    }
    await firstByte(BufferedConn.of(conn), asks ? head(target) : undefined, scope, trace);
    return undefined;
  } catch (error) {
    return asProxyError(error, { code: "closed", side: "upstream", stage: "relay" }).message;
  } finally {
    scope.leave();
    conn.abort();
  }
}

async function firstByte(
  conn: BufferedConn,
  question: Uint8Array | undefined,
  parent: Scope,
  trace: Trace,
): Promise<void> {
  const step = trace.begin("relay", "first byte");
  const scope = new Scope(parent, conn);
  try {
    if (question !== undefined) await conn.write(question);
    // It may have come together with the last hop's answer.
    if (conn.buffered.length === 0 && !(await conn.fill())) {
      throw closed("the target ended the connection before it said anything");
    }
    step.done({ said: firstLine(conn.buffered) });
  } catch (error) {
    // Who is asked nothing may say nothing.
    if (scope.aborted && question === undefined) step.done({ said: "" });
    else {
      const failure = scope.aborted ? closed("the target has not answered") : error;
      step.failed(failure);
      throw failure;
    }
  } finally {
    scope.leave();
  }
}

function head(target: Endpoint): Uint8Array {
  const host = formatEndpoint(target).replace(/:(80|443)$/, "");
  return new TextEncoder().encode(`HEAD / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
}

function firstLine(bytes: Uint8Array): string {
  const [line] = new TextDecoder("latin1").decode(bytes.subarray(0, 80)).split(/\r?\n/);
  return printable(line);
}

function closed(message: string): ProxyError {
  return new ProxyError(message, { code: "closed", side: "upstream", stage: "relay" });
}
