/**
 * The command lines of gost, versions 2 and 3: `gost -L … -F …`.
 *
 * @module
 */
import { type Draft, type Element, type GroupDraft, type HopDraft, ImportError } from "./draft.ts";
import { gostListener } from "./gost_listener.ts";
import { hostAndPort, type NodeUrl, Options, parseNodeUrl } from "./node_url.ts";
import { commands, type Word } from "./shell.ts";

/** Reads a script in which gost is run. */
export function importGost(text: string, draft: Draft): void {
  const runs = commands(text).map((words) => gostArguments(words, draft)).filter((run) => run !== undefined);
  if (runs.length === 0) throw new ImportError({ message: "expected a command line with gost -L … or -F …" });
  for (const run of runs) {
    const chain = run.hops.map((word) => element(word, draft));
    const via = chain.length === 0 ? "direct" : draft.chain(chain, { line: run.hops[0].line });
    const listeners = run.listeners.flatMap((word) => gostListener(word, draft));
    if (listeners.length === 0 && run.listeners.length > 0) continue;
    // One gost has one chain; only several of them need routes.
    if (runs.length === 1) continue;
    const value = { listeners: listeners.map(({ address }) => address), via };
    if (listeners.length > 0) draft.routes.push({ value, line: run.listeners[0].line });
    else draft.note(run.hops[0]?.line, "this gost has hops but no listener (-L), so its chain has no route");
  }
}

/** One command line, by its options. */
type Run = Readonly<Record<"listeners" | "hops", readonly Word[]>>;

/** What one command says to gost, if it is one. */
function gostArguments(words: readonly Word[], draft: Draft): Run | undefined {
  const [listeners, hops]: [Word[], Word[]] = [[], []];
  const first = words.findIndex(({ text }) => /^--?[LF](?:=|$)/.test(text));
  if (first < 0) return undefined;
  const program = words.findIndex(({ text }) => /(?:^|[/=])gost[^/]*$/.test(text));
  for (let at = program < 0 || program > first ? first : program + 1; at < words.length; at++) {
    const { text, line } = words[at];
    const [, name, value] = /^--?([A-Za-z]+)(?:=(.*))?$/s.exec(text) ?? [];
    if (name === "L" || name === "F") {
      const given = value ?? words[++at]?.text;
      if (given === undefined) throw new ImportError({ line, message: `-${name} has no value` });
      (name === "L" ? listeners : hops).push({ text: given, line });
    } else if (name !== undefined) draft.note(line, `\`-${name}\` is left out`);
  }
  return { listeners, hops };
}

/** `http+tls` is what is spoken, and what it is carried in; `https` and `http2` say both. */
export function schemeOf({ scheme }: NodeUrl): { protocol: string; transport: string } {
  if (scheme === "https") return { protocol: "http", transport: "tls" };
  if (scheme === "http2") return { protocol: "http2", transport: "tcp" };
  const [protocol, transport] = scheme.split("+");
  if (transport !== undefined) return { protocol, transport };
  return protocol === "tls" ? { protocol: "auto", transport: "tls" } : { protocol, transport: "tcp" };
}

const hopProtocols: Record<string, HopDraft["protocol"]> = {
  "": "http",
  auto: "http",
  http: "http",
  http2: "h2",
  socks: "socks5",
  socks5: "socks5",
  socks5h: "socks5",
  socks4: "socks4",
  socks4a: "socks4a",
};

/** A `-F`: a hop, or a choice where it has several addresses. */
function element({ text, line }: Word, draft: Draft): Element {
  const url = parseNodeUrl(text, line);
  const { protocol, transport } = schemeOf(url);
  const known = Object.hasOwn(hopProtocols, protocol) ? hopProtocols[protocol] : undefined;
  if (known === undefined || !["tcp", "tls"].includes(transport)) {
    throw new ImportError({
      line,
      message: `-F ${url.scheme}:// cannot be carried over, and a chain without it would lead elsewhere`,
    });
  }
  const options = new Options(url.options);
  const credentials = url.username === undefined ? basic(options.take("auth"), line) : login(url);
  const group = strategy(options, draft, line);
  const addresses = options.take("ip")?.split(",");
  const hosts = url.host.split(",").filter((host) => host !== "");
  const { host, port } = hostAndPort(hosts[0] ?? "");
  const servers = addresses?.map((address) => address.includes(":") ? address : `${address}:${port}`) ??
    hosts;
  const inTls = transport === "tls" || known === "h2";
  const tls = inTls ? clientTls(options, addresses && host, draft, line) : undefined;
  const rest = hopOptions(options, draft, line);
  const names = servers.map((address) =>
    draft.hop({
      protocol: known === "h2" ? "h2" : inTls ? `${known}+tls` as HopDraft["protocol"] : known,
      address,
      ...credentials,
      ...(tls && Object.keys(tls.value).length > 0 && { tls: tls.value }),
      ...rest,
    }, { line, comment: tls?.comment })
  );
  for (const name of options.rest) draft.note(line, `-F: the option \`${name}\` is left out`);
  if (names.length === 0) throw new ImportError({ line, message: "-F has no host" });
  return names.length === 1 ? names[0] : { [group]: names } as GroupDraft;
}

function login({ username, password }: NodeUrl): Pick<HopDraft, "username" | "password"> {
  return { username, ...(password && { password }) };
}

/** `auth` is `user:password` in base64. */
export function basic(auth: string | undefined, line: number): Pick<HopDraft, "username" | "password"> {
  if (auth === undefined) return {};
  try {
    const raw = atob(auth.replaceAll("-", "+").replaceAll("_", "/"));
    const text = new TextDecoder("utf-8", { fatal: true }).decode(
      Uint8Array.from(raw, (char) => char.charCodeAt(0)),
    );
    const [, username, password] = /^([^:]*)(?::(.*))?$/s.exec(text)!;
    return { username, ...(password && { password }) };
  } catch {
    throw new ImportError({ line, message: "`auth` is not user:password in base64" });
  }
}

/** gost verifies nothing unless told to; that is not carried over. */
function clientTls(options: Options, verified: string | undefined, draft: Draft, line: number) {
  const secure = options.take("tls.secure", "secure");
  const serverName = options.take("tls.servername", "servername") ?? verified;
  const ca = options.take("tls.cafile", "cafile", "ca");
  const certificate = options.take("tls.certfile", "certfile", "cert");
  const key = options.take("tls.keyfile", "keyfile", "key");
  const value = {
    ...(serverName && { serverName }),
    ...(ca && { ca }),
    ...(certificate && key && { certificate, key }),
    ...(secure === "false" && { insecure: true }),
  };
  if (secure === "true") return { value };
  if (secure === "false") {
    draft.note(line, "-F: secure=false: the certificate of this hop is not verified");
    return { value, comment: "secure=false: this certificate is not verified" };
  }
  if (ca !== undefined) {
    draft.note(line, "-F: gost checked this certificate by its `ca` alone; Hopline checks its name, too");
    return { value };
  }
  draft.note(
    line,
    "-F: gost did not verify the certificate of this hop; Hopline does, so it may be refused now: give it a `ca` " +
      "or `pins`",
  );
  return { value, comment: "gost did not verify this certificate; Hopline does" };
}

const strategies: Record<string, keyof GroupDraft> = {
  round: "roundRobin",
  rr: "roundRobin",
  rand: "random",
  random: "random",
  fifo: "failover",
  ha: "failover",
};

function strategy(options: Options, draft: Draft, line: number): keyof GroupDraft {
  const given = options.take("strategy") ?? "round";
  options.take("max_fails", "maxfails");
  options.take("fail_timeout", "failtimeout");
  if (Object.hasOwn(strategies, given)) return strategies[given];
  draft.note(line, `-F: the strategy \`${given}\` is not known here; the hops take turns instead`);
  return "roundRobin";
}

function hopOptions(
  options: Options,
  draft: Draft,
  line: number,
): Pick<HopDraft, "timeout" | "proxyProtocol"> {
  const timeout = options.take("timeout");
  const proxyProtocol = options.take("proxyprotocol");
  const plain = timeout === undefined || /^\d+(ms|s|m|h)$/.test(timeout);
  if (!plain) draft.note(line, "-F: this `timeout` is left out; expected a number with ms, s, m or h");
  return {
    ...(timeout && plain && { timeout }),
    ...((proxyProtocol === "1" || proxyProtocol === "2") &&
      { proxyProtocol: Number(proxyProtocol) as 1 | 2 }),
  };
}
