/**
 * The query of a hop's or listener's URL: which options there are, and where they belong in the object form.
 *
 * @module
 */
import { suggestion } from "./nearest.ts";
import { type Path, quote, ValueError } from "./problems.ts";

/** One option: its place in the object form, and how its text is read. */
interface Option {
  readonly path: readonly [string, string] | readonly [string];
  readonly read: (text: string, key: string) => unknown;
  /** May stand several times; the values are collected. */
  readonly repeatable?: boolean;
}

/** The options of a kind of URL, by their keys. */
export type Options = Readonly<Record<string, Option>>;

const text = (value: string) => value;

/** What `socks5+tls://host?…` takes. */
export const hopOptions: Options = {
  sni: { path: ["tls", "serverName"], read: text },
  ca: { path: ["tls", "ca"], read: text },
  cert: { path: ["tls", "certificate"], read: text },
  key: { path: ["tls", "key"], read: text },
  pin: { path: ["tls", "pins"], read: text, repeatable: true },
  alpn: { path: ["tls", "alpn"], read: (value) => value.split(",") },
  insecure: { path: ["tls", "insecure"], read: flag },
  resolve: { path: ["resolve"], read: text },
  forward: { path: ["forward"], read: text },
  timeout: { path: ["timeout"], read: text },
  "proxy-protocol": { path: ["proxyProtocol"], read: numberOr },
};

/** What `auto://:443?…` takes. */
export const listenerOptions: Options = {
  cert: { path: ["tls", "certificate"], read: text },
  key: { path: ["tls", "key"], read: text },
  "client-ca": { path: ["tls", "clientCa"], read: text },
  open: { path: ["open"], read: flag },
  forwarded: { path: ["forwarded"], read: flag },
  reverse: { path: ["reverse"], read: flag },
  bandwidth: { path: ["bandwidth"], read: text },
  "proxy-protocol": { path: ["proxyProtocol", "trusted"], read: (value) => value.split(",") },
  port: { path: ["sni", "port"], read: numberOr },
};

/** The options whose values are paths. */
export const fileOptions = ["ca", "cert", "key", "client-ca"] as const;

/** What a query says, in the object form. */
export interface Read {
  tls?: Record<string, unknown>;
  sni?: Record<string, unknown>;
  [key: string]: unknown;
}

/**
 * Reads a query. A `+` stays a plus sign, because public-key pins are full of them.
 *
 * @throws ValueError
 */
export function readOptions(query: string | undefined, options: Options): Read {
  const result: Read = {};
  for (const pair of query ? query.split("&") : []) {
    const equals = pair.indexOf("=");
    const key = decode(equals < 0 ? pair : pair.slice(0, equals), "an option's name");
    if (!Object.hasOwn(options, key)) {
      throw new ValueError(`unknown option ${quote(key)}${suggestion(key, Object.keys(options))}`);
    }
    if (equals < 0) throw new ValueError(`expected \`${key}=…\`, found no value`);
    const { path: [outer, inner], read, repeatable } = options[key];
    const value = read(decode(pair.slice(equals + 1), `\`${key}\``), key);
    const place = (inner === undefined ? result : result[outer] ??= {}) as Record<string, unknown>;
    const name = inner ?? outer;
    if (repeatable) place[name] = [...(place[name] as unknown[] | undefined ?? []), value];
    else if (Object.hasOwn(place, name)) throw new ValueError(`\`${key}\` stands twice`);
    else place[name] = value;
  }
  return result;
}

/** Percent-decoding; `what` stands in the message for the text, which may be a secret. */
export function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ValueError(`${what} has a % that begins no UTF-8 percent-encoding; a % itself is %25`);
  }
}

/** What a place in the object form is called in the URL, for messages about it; the address needs no name there. */
export function optionAt(path: Path, options: Options): string {
  const found = Object.entries(options).find(([, option]) => option.path.every((key, i) => key === path[i]));
  const key = found?.[0] ?? path.filter((key) => typeof key === "string").at(-1) ?? "";
  return key === "address" ? "" : key;
}

function flag(value: string, key: string): boolean {
  if (value !== "true" && value !== "false") {
    throw new ValueError(`expected \`${key}=true\` or \`${key}=false\`, found ${quote(value)}`);
  }
  return value === "true";
}

/** A number; what is none is left for the schema to complain about. */
function numberOr(value: string): number | string {
  return /^[0-9]{1,5}$/.test(value) ? Number(value) : value;
}
