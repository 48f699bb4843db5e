/**
 * proxychains.conf, of proxychains-ng and its predecessors.
 *
 * @module
 */
import { type Draft, type Element, type HopDraft, ImportError } from "./draft.ts";
import { lines } from "./lines.ts";

type Kind = "strict" | "dynamic" | "random" | "round_robin";

interface Proxy {
  readonly type: string;
  readonly hop: Omit<HopDraft, "protocol">;
  readonly line: number;
}

/** Reads a configuration of proxychains. */
export function importProxychains(text: string, draft: Draft): void {
  const proxies: Proxy[] = [];
  const direct: string[] = [];
  let [kind, length, remoteNames, listed]: [Kind, number, boolean, boolean] = ["strict", 1, false, false];
  let kindLine: number | undefined;
  for (const { line, content } of lines(text)) {
    const words = content.split(/[\s=]+/);
    const [key] = words;
    if (/^\[proxylist\]$/i.test(key)) listed = true;
    else if (listed) proxies.push(proxy(content.split(/\s+/), line));
    else if (/^(strict|dynamic|random|round_robin)_chain$/.test(key)) {
      [kind, kindLine] = [key.replace("_chain", "") as Kind, line];
    } else if (key === "chain_len") length = Math.max(1, Number(words[1]) || 1);
    else if (/^proxy_dns(_old|_daemon)?$/.test(key)) remoteNames = true;
    else if (key === "tcp_connect_time_out") {
      if (/^\d{1,8}$/.test(words[1] ?? "") && Number(words[1]) > 0) draft.timeouts.connect = `${words[1]}ms`;
      else draft.note(line, "`tcp_connect_time_out` is left out; expected a number of milliseconds");
    } else if (key === "localnet") direct.push(...localnet(words[1] ?? "", line, draft));
    else if (key !== "quiet_mode" && key !== "remote_dns_subnet") {
      draft.note(line, `\`${key}\` is left out`);
    }
  }
  if (proxies.length === 0) {
    throw new ImportError({ message: "expected proxies under [ProxyList], found none" });
  }
  const names = proxies.map(({ type, hop, line }, index) => {
    // Any hop may be the last of a chain that is not strict; addresses are not looked up anyway.
    const last = kind !== "strict" || index === proxies.length - 1;
    return draft.hop(spoken(type, hop, remoteNames, last, line), { line });
  });
  if (kind === "dynamic" && proxies.length > mostDynamic) {
    draft.note(kindLine, "`dynamic_chain` skips dead proxies; here, every hop of the chain has to work");
  }
  if ((kind === "random" || kind === "round_robin") && length > 1 && proxies.length > 1) {
    draft.note(kindLine, `\`${kind}_chain\` may take one proxy for several places of a chain here`);
  }
  const chain = draft.chain(elements(kind, names, length), { line: kindLine });
  draft.listener({ address: "127.0.0.1:1080" });
  if (direct.length > 0) {
    draft.routes.push({ value: { to: direct, via: "direct" } }, { value: { via: chain } });
  }
}

function elements(kind: Kind, names: readonly string[], length: number): Element[] {
  const strict = kind === "strict" || kind === "dynamic" && names.length > mostDynamic;
  if (names.length === 1 || strict) return [...names];
  if (kind === "dynamic") return [{ failover: parts(names) }];
  const choice = kind === "random" ? { random: names } : { roundRobin: names };
  return Array.from({ length: Math.min(length, names.length) }, () => choice);
}

/** There are 2ⁿ - 1 chains to try when any but the last living proxy may be dead; more than seven help nobody. */
const mostDynamic = 3;

/** All that is left of a chain when some are dead, the longest first. */
function parts(names: readonly string[]): string[][] {
  const all = names.reduce<string[][]>((parts, name) => [...parts, ...parts.map((part) => [...part, name])], [
    [],
  ]);
  return all.filter((part) => part.length > 0).sort((a, b) => b.length - a.length);
}

function proxy([type, host, port, username, password]: readonly string[], line: number): Proxy {
  if (host === undefined || port === undefined) {
    throw new ImportError({ line, message: "expected type, host and port of a proxy" });
  }
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return { type, line, hop: { address, ...(username && { username }), ...(password && { password }) } };
}

/** Without `proxy_dns`, names are looked up before the chain is asked. */
function spoken(
  type: string,
  hop: Proxy["hop"],
  remoteNames: boolean,
  last: boolean,
  line: number,
): HopDraft {
  const resolve = !remoteNames && last ? { resolve: "local" as const } : {};
  if (type === "http" || type === "socks5") return { protocol: type, ...hop, ...resolve };
  if (type === "socks4" || type === "socks4a") {
    const { password: _, ...rest } = hop;
    return { protocol: remoteNames ? "socks4a" : "socks4", ...rest };
  }
  const known = "expected http, socks4 or socks5";
  throw new ImportError({ line, message: `a proxy of type \`${type}\` cannot be carried over; ${known}` });
}

/** `10.0.0.0/255.0.0.0`, `192.168.1.0:80/24`, `[fe80::]/64`. */
function localnet(text: string, line: number, draft: Draft): string[] {
  const [, v6, v4, port, mask] = /^(?:\[([0-9a-f:.]+)\]|([\d.]+))(?::(\d+))?\/([\d.]+)$/i.exec(text) ?? [];
  const prefix = mask === undefined ? NaN : mask.includes(".") ? prefixOf(mask) : Number(mask);
  if (Number.isNaN(prefix)) {
    draft.note(line, "`localnet` is left out; expected a network and its mask, as 10.0.0.0/255.0.0.0");
    return [];
  }
  const block = v6 === undefined ? `${v4}/${prefix}` : port ? `[${v6}/${prefix}]` : `${v6}/${prefix}`;
  return [port ? `${block}:${port}` : block];
}

/** 255.255.0.0 is 16; NaN for a mask with holes. */
function prefixOf(mask: string): number {
  const bits = mask.split(".").map((byte) => Number(byte).toString(2).padStart(8, "0")).join("");
  return /^1*0*$/.test(bits) && bits.length === 32 ? bits.lastIndexOf("1") + 1 : NaN;
}
