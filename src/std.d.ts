/**
 * Types for the parts of the standard library whose npm package has none. Only `tsc` reads this file.
 *
 * @module
 */

declare module "@std/assert" {
  // deno-lint-ignore no-explicit-any
  type Class<E> = abstract new (...args: any[]) => E;

  export class AssertionError extends Error {}
  export function assert(condition: unknown, message?: string): asserts condition;
  export function assertEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
  export function assertNotStrictEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T>;
  export function assertInstanceOf<E>(actual: unknown, type: Class<E>, message?: string): asserts actual is E;
  export function assertGreater<T>(actual: T, expected: T, message?: string): void;
  export function assertGreaterOrEqual<T>(actual: T, expected: T, message?: string): void;
  export function assertLess<T>(actual: T, expected: T, message?: string): void;
  export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void;
  export function assertStringIncludes(actual: string, expected: string, message?: string): void;
  export function assertArrayIncludes<T>(
    actual: ArrayLike<T>,
    expected: ArrayLike<T>,
    message?: string,
  ): void;
  export function assertMatch(actual: string, expected: RegExp, message?: string): void;
  export function assertNotMatch(actual: string, expected: RegExp, message?: string): void;
  export function assertObjectMatch(
    actual: Record<PropertyKey, unknown>,
    expected: Record<PropertyKey, unknown>,
    message?: string,
  ): void;
  export function assertThrows<E extends Error = Error>(
    run: () => unknown,
    type?: Class<E>,
    includes?: string,
    message?: string,
  ): E;
  export function assertRejects<E extends Error = Error>(
    run: () => PromiseLike<unknown>,
    type?: Class<E>,
    includes?: string,
    message?: string,
  ): Promise<E>;
  export function assertIsError<E extends Error = Error>(
    error: unknown,
    type?: Class<E>,
    includes?: string | RegExp,
    message?: string,
  ): asserts error is E;
  export function fail(message?: string): never;
  export function unreachable(message?: string): never;
}

declare module "dns-packet" {
  const packet: {
    readonly RECURSION_DESIRED: number;
    readonly TRUNCATED_RESPONSE: number;
    encode(packet: object): Uint8Array;
    // deno-lint-ignore no-explicit-any -- whoever decodes says what it is
    decode(message: Uint8Array): any;
  };
  export default packet;
}

declare module "@std/fmt/colors" {
  type Paint = (text: string) => string;
  export const bold: Paint;
  export const dim: Paint;
  export const green: Paint;
  export const red: Paint;
  export const yellow: Paint;
  export function setColorEnabled(value: boolean): void;
}

declare module "@std/cli/parse-args" {
  export function parseArgs(
    args: string[],
    options?: Record<string, unknown>,
  ): Record<string, unknown> & { _: (string | number)[] };
}
