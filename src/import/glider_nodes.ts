/**
 * The listeners and forwarders of glider: URLs, with commas between the layers of one and the hops of a chain.
 *
 * @module
 */
import type { Draft, HopDraft, ListenerDraft } from "./draft.ts";
import { type NodeUrl, Options, parseNodeUrl } from "./node_url.ts";

const protocols: Record<string, ListenerDraft["protocols"]> = {
  "": ["socks5", "http"],
  mixed: ["socks5", "http"],
  http: ["http"],
  socks5: ["socks5"],
};

/** Adds the listener of a `listen=`, unless it cannot be carried over. */
export function listener(text: string, line: number, draft: Draft): void {
  const dropped = (why: string) => draft.note(line, `\`listen\` is left out: ${why}`);
  const forward = /^tcp(?:tun)?:\/\/([^=]*:\d+)=(.+)$/.exec(text);
  if (forward !== null) {
    draft.listener({ address: forward[1], target: forward[2] }, line);
    return;
  }
  const layers = text.split(",").map((layer) => parseNodeUrl(layer, line));
  const [outer, inner = outer] = layers;
  const inTls = outer.scheme === "tls";
  if (inTls && inner === outer) {
    return dropped("expected what is spoken inside TLS, as in tls://:443,http://");
  }
  if (!Object.hasOwn(protocols, inner.scheme) || layers.length > (inTls ? 2 : 1)) {
    const found = layers.map(({ scheme }) => `${scheme}://`).join(",");
    return dropped(`Hopline does not serve ${found}`);
  }
  const options = new Options(outer.options);
  const [certificate, key] = [options.take("cert"), options.take("key")];
  if (inTls && (certificate === undefined || key === undefined)) {
    return dropped("it names no `cert` and `key`");
  }
  for (const name of options.rest) draft.note(line, `\`listen\`: the option \`${name}\` is left out`);
  const { username, password } = inner;
  if (username !== undefined && !password) {
    return dropped("its user has no password, and nobody could log in");
  }
  draft.listener({
    address: outer.host,
    protocols: protocols[inner.scheme],
    ...(inTls && { tls: { certificate, key, required: true } }),
    ...(username !== undefined && { users: [{ username, password: password! }] }),
  }, line);
}

/** A way that a `forward=` leads: a chain's name, `direct` or `reject`. */
export interface Forwarder {
  readonly via: string;
  readonly priority: number;
}

/** Makes the chain of a `forward=`; without one if it cannot be carried over. */
export function forwarder(
  { value, line, file }: { value: string; line: number; file?: string },
  draft: Draft,
): Forwarder | undefined {
  const [urls, ...fragments] = value.split("#");
  const given = new URLSearchParams(fragments.join("&"));
  for (const key of given.keys()) {
    if (key !== "priority") draft.note(line, `\`forward\`: the option \`${key}\` is left out`, file);
  }
  const priority = Number(given.get("priority")) || 0;
  const layers = urls.split(",").map((layer) => parseNodeUrl(layer, line));
  if (layers.length === 1 && ["direct", "reject"].includes(layers[0].scheme)) {
    return { via: layers[0].scheme, priority };
  }
  const hops: string[] = [];
  let around: NodeUrl | undefined;
  for (const layer of layers) {
    if (layer.scheme === "tls" && around === undefined) around = layer;
    else if (schemes[layer.scheme] === undefined) {
      const left = "this forwarder is left out";
      draft.note(line, `\`forward\`: ${layer.scheme}:// cannot be carried over; ${left}`, file);
      return undefined;
    } else {
      hops.push(
        draft.hop(hopOf(layer, around, line, draft, file), { line: file === undefined ? line : undefined }),
      );
      around = undefined;
    }
  }
  if (around !== undefined) {
    draft.note(line, "`forward`: tls:// has nothing inside; this forwarder is left out", file);
    return undefined;
  }
  return { via: draft.chain(hops, { line: file === undefined ? line : undefined }), priority };
}

const schemes: Record<string, HopDraft["protocol"] | undefined> = {
  http: "http",
  socks4: "socks4",
  socks4a: "socks4a",
  socks5: "socks5",
};

function hopOf(
  url: NodeUrl,
  around: NodeUrl | undefined,
  line: number,
  draft: Draft,
  file?: string,
): HopDraft {
  const { username, password } = url;
  const protocol = schemes[url.scheme]!;
  const options = new Options(around?.options ?? url.options);
  const serverName = options.take("servername");
  const ca = options.take("cert");
  const insecure = options.take("skipverify") === "true";
  const alpn = options.take("alpn");
  if (insecure) {
    draft.note(line, "`forward`: skipVerify=true: the certificate of this hop is not verified", file);
  }
  for (const name of options.rest) draft.note(line, `\`forward\`: the option \`${name}\` is left out`, file);
  const tls = {
    ...(serverName && { serverName }),
    ...(ca && { ca }),
    ...(alpn && { alpn: [alpn] }),
    ...(insecure && { insecure }),
  };
  return {
    protocol: around === undefined ? protocol : `${protocol}+tls` as HopDraft["protocol"],
    address: around?.host ?? url.host,
    ...(username && { username }),
    ...(password && { password }),
    ...(around && Object.keys(tls).length > 0 && { tls }),
  };
}
