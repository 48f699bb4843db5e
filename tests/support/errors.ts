/**
 * Errors as tests compare them.
 *
 * @module
 */
import { ProxyError } from "../../src/core/errors.ts";

/** The error as a {@linkcode ProxyError}; fails the test when it is anything else. */
export function proxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  throw new Error(`expected a ProxyError, got ${error}`, { cause: error });
}

/** What a promise rejects with; fails the test when it resolves. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  let result: unknown;
  try {
    result = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`expected a rejection, got ${result}`);
}

/** What a promise rejects with, as a {@linkcode ProxyError}. */
export async function failureOf(promise: Promise<unknown>): Promise<ProxyError> {
  return proxyError(await rejectionOf(promise));
}

/** What a call throws; fails the test when it returns. */
export function thrownBy(call: () => unknown): unknown {
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    return error;
  }
  throw new Error(`expected an exception, got ${result}`);
}
