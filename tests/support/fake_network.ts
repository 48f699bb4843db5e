/**
 * A network in which a test decides when every lookup and every attempt ends.
 *
 * @module
 */
import { formatEndpoint } from "../../src/core/address.ts";
import type { Conn, Context, Endpoint } from "../../src/core/conn.ts";
import type { Network } from "../../src/core/direct.ts";
import { type ErrorCode, ProxyError } from "../../src/core/errors.ts";
import { FakeConn } from "./fake_conn.ts";

/** One call of `connect`. */
export interface Attempt {
  readonly address: string;
  readonly signal: AbortSignal;
  /** The connection that {@linkcode succeed} gives. */
  readonly conn: FakeConn;
  succeed(): void;
  fail(code: ErrorCode): void;
}

export class FakeNetwork implements Network {
  readonly attempts: Attempt[] = [];
  readonly lookups: { hostname: string; family: 4 | 6; signal: AbortSignal }[] = [];
  readonly #answers = { 4: Promise.withResolvers<string[]>(), 6: Promise.withResolvers<string[]>() };
  #changed = Promise.withResolvers<void>();

  /** The addresses attempted so far, in order. */
  get order(): string[] {
    return this.attempts.map(({ address }) => address);
  }

  /** Answers a lookup. */
  answer(family: 4 | 6, ...addresses: string[]): void {
    this.#answers[family].resolve(addresses);
  }

  /** Fails a lookup. */
  unknown(family: 4 | 6): void {
    this.#answers[family].reject(failure("resolve"));
  }

  /** Resolves to an attempt once it has been made; the first is 0. */
  async attempt(index: number): Promise<Attempt> {
    while (this.attempts.length <= index) await this.#changed.promise;
    return this.attempts[index];
  }

  connect(address: Endpoint, { signal }: Context): Promise<Conn> {
    const { promise, resolve, reject } = Promise.withResolvers<Conn>();
    const conn = new FakeConn();
    this.attempts.push({
      address: formatEndpoint(address),
      signal,
      conn,
      succeed: () => resolve(conn),
      fail: (code) => reject(failure(code)),
    });
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    return promise;
  }

  resolve(hostname: string, family: 4 | 6, { signal }: Context): Promise<string[]> {
    this.lookups.push({ hostname, family, signal });
    return this.#answers[family].promise;
  }
}

/** An error as a runtime's network gives it; its message is its code. */
export function failure(code: ErrorCode): ProxyError {
  return new ProxyError(code, { code, side: "upstream", stage: code === "resolve" ? "resolve" : "connect" });
}

/** Lets everything that is ready happen, without waiting for any timer that is far away. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 0));
}
