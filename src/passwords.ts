/**
 * Passwords as scrypt hashes (RFC 7914), written as `$scrypt$ln=15,r=8,p=1$SALT$HASH` (the PHC string format).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** What a password is held against. */
export interface PasswordHash {
  /** The logarithm of the work: each step doubles time and memory. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** 32 MiB, and a tenth of a second or so. */
const cost = { ln: 15, r: 8, p: 1 };

/** The most memory that a hash may ask for, in bytes: a file must not bring the program down. */
const mostMemory = 256 * 1024 ** 2;

const form =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,128})\$([A-Za-z0-9+/]{22,128})$/;

/** Reads a hash; undefined if it is none, or one that costs out of all reason. */
export function parseHash(text: string): PasswordHash | undefined {
  const [, ln, r, p, salt, hash] = form.exec(text) ?? [];
  if (hash === undefined) return undefined;
  const numbers = { ln: Number(ln), r: Number(r), p: Number(p) };
  if (Object.values(numbers).some((number) => number < 1)) return undefined;
  if (128 * numbers.r * 2 ** numbers.ln > mostMemory || numbers.p > 16) return undefined;
  return { ...numbers, salt: Buffer.from(salt, "base64"), hash: Buffer.from(hash, "base64") };
}

/** Writes a hash. */
export function formatHash({ ln, r, p, salt, hash }: PasswordHash): string {
  return `$scrypt$ln=${ln},r=${r},p=${p}$${base64(salt)}$${base64(hash)}`;
}

/** Hashes a password with a salt of its own. */
export async function hashPassword(password: string): Promise<PasswordHash> {
  const salt = randomBytes(16);
  return { ...cost, salt, hash: await derive(password, { ...cost, salt, hash: new Uint8Array(32) }) };
}

/** Whether a password is the one that was hashed. */
export async function verifyPassword(password: string, expected: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, expected), expected.hash);
}

/** A hash that no password fits, of the work of another. */
export function unfitHash({ ln, r, p }: PasswordHash): PasswordHash {
  return { ln, r, p, salt: randomBytes(16), hash: randomBytes(32) };
}

function derive(password: string, { ln, r, p, salt, hash }: PasswordHash): Promise<Uint8Array> {
  const options = { N: 2 ** ln, r, p, maxmem: 2 * mostMemory };
  return new Promise((resolve, reject) => {
    scrypt(
      password,
      salt,
      hash.length,
      options,
      (error, key) => error ? reject(error) : resolve(key),
    );
  });
}

/** Without padding, as the format wants it. */
function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replace(/=+$/, "");
}
