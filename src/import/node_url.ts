/**
 * `scheme://user:password@host:port/path?options`, as other programs write their proxies.
 *
 * @module
 */
import { ImportError } from "./draft.ts";

/** A URL taken apart; nothing of it is checked. */
export interface NodeUrl {
  /** In lower case; empty if there is none. */
  readonly scheme: string;
  readonly username?: string;
  readonly password?: string;
  /** `host:port` as it stands, or several with commas between them. */
  readonly host: string;
  /** Without the slash that begins it. */
  readonly path: string;
  readonly options: ReadonlyMap<string, string>;
  /** Behind a `#`. */
  readonly fragment: string;
}

const parts = /^(?:([A-Za-z][A-Za-z0-9+.-]*):\/\/)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?(?:#(.*))?$/s;

/** Takes a URL apart. @throws ImportError */
export function parseNodeUrl(text: string, line?: number): NodeUrl {
  const match = parts.exec(text);
  if (match === null) throw new ImportError({ line, message: "expected a URL, found something else" });
  const [, scheme = "", authority, path = "", query = "", fragment = ""] = match;
  const at = authority.lastIndexOf("@");
  const user = at < 0 ? undefined : authority.slice(0, at);
  const colon = user?.indexOf(":") ?? -1;
  const decoded = (part: string) => decode(part, line);
  return {
    scheme: scheme.toLowerCase(),
    // A user name of nothing is none.
    ...(user && { username: decoded(colon < 0 ? user : user.slice(0, colon)) }),
    ...(user && colon >= 0 && { password: decoded(user.slice(colon + 1)) }),
    host: authority.slice(at + 1),
    path: decoded(path),
    options: new Map(
      query.split("&").filter((pair) => pair !== "").map((pair) => {
        const equals = pair.indexOf("=");
        const [key, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
        return [decoded(key), decoded(value.replaceAll("+", " "))];
      }),
    ),
    fragment,
  };
}

function decode(text: string, line?: number): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ImportError({ line, message: "a URL has a % that begins no UTF-8 percent-encoding" });
  }
}

/** A host and a port apart: `[::1]:80`, `host:80`, `host`, `:80`. */
export function hostAndPort(text: string): { host: string; port?: string } {
  const [, host = text, port] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(text) ?? [];
  return { host, ...(port && { port }) };
}

/** The options that nobody looked at, by name. */
export class Options {
  readonly #left: Map<string, string>;

  constructor(options: ReadonlyMap<string, string>) {
    this.#left = new Map([...options].map(([key, value]) => [key.toLowerCase(), value]));
  }

  /** Takes the first of these options that is there. */
  take(...keys: string[]): string | undefined {
    const found = keys.find((key) => this.#left.has(key));
    const value = found === undefined ? undefined : this.#left.get(found);
    for (const key of keys) this.#left.delete(key);
    return value === "" ? undefined : value;
  }

  /** Those that are left. */
  get rest(): string[] {
    return [...this.#left.keys()];
  }
}
