/**
 * The variables that curl, git and most other programs heed: `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
 *
 * @module
 */
import { type Draft, type HopDraft, ImportError } from "./draft.ts";
import { hostAndPort, parseNodeUrl } from "./node_url.ts";

const schemes: Record<string, HopDraft["protocol"]> = {
  "": "http",
  http: "http",
  https: "https",
  socks: "socks5",
  socks5: "socks5",
  socks5h: "socks5",
  socks4: "socks4",
  socks4a: "socks4a",
};

/** Reads the variables, in either case; the lower case wins, as it does in curl. */
export function importEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  draft: Draft,
): void {
  const find = (name: string) => environment[name.toLowerCase()] || environment[name] || undefined;
  const hop = (variable: string, plain = false) => {
    const url = find(variable);
    return url === undefined ? undefined : hopOf(variable, url, plain, draft);
  };
  const [all, https, http] = [hop("ALL_PROXY"), hop("HTTPS_PROXY"), hop("HTTP_PROXY", true)];
  const rest = all ?? https ?? http;
  if (rest === undefined) {
    throw new ImportError({ message: "none of ALL_PROXY, HTTPS_PROXY and HTTP_PROXY is set" });
  }
  draft.listener({ address: "127.0.0.1:1080" });
  const way = (name: string, hop: string) => ({ name, via: draft.chain([hop], { name }) });
  const out = way("out", rest);
  const secure = https === undefined || https === rest ? out : way("https", https);
  const plain = http === undefined || http === rest ? out : way("http", http);
  const direct = exceptions(find("NO_PROXY"), draft);
  if (direct.length > 0) draft.routes.push({ value: { to: direct, via: "direct" } });
  if (plain !== out) draft.routes.push({ value: { to: ["*:80"], via: plain.via } });
  if (secure !== out) draft.routes.push({ value: { to: ["*:443"], via: secure.via } });
  if (draft.routes.length > 0) draft.routes.push({ value: { via: out.via } });
  if (plain !== out || secure !== out) {
    draft.note(
      undefined,
      "HTTP_PROXY is taken for port 80 and HTTPS_PROXY for port 443, whatever is spoken there",
    );
  }
  if (all === undefined) {
    draft.note(undefined, "without ALL_PROXY, all other ports take the same proxy instead of none");
  }
}

function hopOf(variable: string, text: string, plain: boolean, draft: Draft): string {
  let url;
  try {
    url = parseNodeUrl(text);
  } catch (error) {
    throw error instanceof ImportError
      ? new ImportError({ message: `${variable}: ${error.message}` })
      : error;
  }
  const { scheme, username, password, host } = url;
  const protocol = Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined;
  if (protocol === undefined) {
    throw new ImportError({ message: `${variable}: ${scheme}:// cannot be carried over` });
  }
  if (scheme === "socks5" || scheme === "socks") {
    draft.note(undefined, `${variable}: names are passed on to the proxy, as with socks5h://`);
  }
  // Programs ask an HTTP proxy for plain requests in absolute form, and many such proxies refuse CONNECT to port 80.
  const absolute = plain && (protocol === "http" || protocol === "https");
  const { host: name, port = protocol === "http" ? "80" : undefined } = hostAndPort(host);
  return draft.hop({
    protocol,
    address: port === undefined ? name : `${name}:${port}`,
    ...(username && { username }),
    ...(password && !protocol.startsWith("socks4") && { password }),
    ...(absolute && { forward: "absolute" }),
  }, { name: variable.toLowerCase().replace("_", "-") });
}

/** A name stands for itself and for all below it, with a dot in front or without. */
function exceptions(list: string | undefined, draft: Draft): string[] {
  const entries = (list ?? "").split(/[\s,]+/).filter((entry) => entry !== "");
  return [
    ...new Set(entries.flatMap((entry) => {
      if (
        entry === "*" || /^[\d.]+(?:\/\d+)?(?::\d+)?$/.test(entry) ||
        /^\[?[0-9a-f:.]*:[0-9a-f:.]*:/i.test(entry)
      ) {
        return [entry];
      }
      const name = entry.replace(/^\*?\./, "").toLowerCase();
      if (/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?(?::\d+)?$/.test(name)) return [name, `*.${name}`];
      draft.note(undefined, `NO_PROXY: ${JSON.stringify(entry)} is left out; expected a name or an address`);
      return [];
    })),
  ];
}
