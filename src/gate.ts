/**
 * The one gate for all protocols: who may use a listener.
 *
 * @module
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Gate } from "./core/serve.ts";
import { type PasswordHash, unfitHash, verifyPassword } from "./passwords.ts";

/** A user of a listener, with a password or the hash of one. */
export type User =
  | { readonly username: string; readonly password: string }
  | { readonly username: string; readonly hash: PasswordHash };

/** The gate of a listener with these users; `null`, which lets everybody in, without any. */
export function makeGate(users: readonly User[] | undefined): Gate {
  if (users === undefined || users.length === 0) return null;
  const digests = new Map<string, Uint8Array>();
  const hashes = new Map<string, PasswordHash>();
  for (const user of users) {
    if ("hash" in user) hashes.set(user.username, user.hash);
    else digests.set(user.username, digest(user.password));
  }
  return hashes.size > 0 ? hashedGate(hashes) : plainGate(digests);
}

/** Hashes of equal length are compared, and for an unknown user too: the time taken says nothing. */
function plainGate(digests: ReadonlyMap<string, Uint8Array>): Gate {
  const nobody = digest("");
  return (username, password) => {
    const expected = digests.get(username);
    const same = timingSafeEqual(digest(password), expected ?? nobody);
    return same && expected !== undefined;
  };
}

function digest(password: string): Uint8Array {
  return createHash("sha256").update(password).digest();
}

/** How long a password that fitted is known again without the work. */
const remembered = 5 * 60_000;

/**
 * A hash costs a tenth of a second, and a browser opens dozens of tunnels: a password that fitted is remembered for a
 * while, as a MAC with a key of this gate's own. A new configuration makes a new gate, which remembers nothing.
 */
function hashedGate(hashes: ReadonlyMap<string, PasswordHash>): Gate {
  const key = randomBytes(32);
  const known = new Map<string, { readonly mac: Uint8Array; readonly until: number }>();
  /** The same credentials on several connections at once are one piece of work. */
  const checking = new Map<string, Promise<boolean>>();
  const nobody = unfitHash(hashes.values().next().value!);

  async function check(username: string, password: string, mac: Uint8Array): Promise<boolean> {
    const hash = hashes.get(username);
    const fits = await work.run(() => verifyPassword(password, hash ?? nobody));
    if (!fits || hash === undefined) return false;
    known.set(username, { mac, until: performance.now() + remembered });
    return true;
  }

  return (username, password) => {
    const mac = createHmac("sha256", key).update(JSON.stringify([username, password])).digest();
    const before = known.get(username);
    if (before !== undefined && before.until > performance.now() && timingSafeEqual(before.mac, mac)) {
      return true;
    }
    const name = mac.toString("base64");
    const already = checking.get(name);
    if (already !== undefined) return already;
    const checked = check(username, password, mac).finally(() => checking.delete(name));
    checking.set(name, checked);
    return checked;
  };
}

/**
 * Runs few things at a time, and lets few wait: whoever floods the gate with guesses gets no more of the machine than
 * this, and whoever comes when the line is full is turned away as if the password were wrong.
 */
class Workshop {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(readonly places: number, readonly line: number) {}

  async run(task: () => Promise<boolean>): Promise<boolean> {
    if (this.#running >= this.places) {
      if (this.#waiting.length >= this.line) return false;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      // The place goes on to the next in line.
      if (next !== undefined) next();
      else this.#running--;
    }
  }
}

/** One for the process, however many listeners it has. */
const work = new Workshop(2, 64);
