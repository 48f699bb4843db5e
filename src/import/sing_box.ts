/**
 * The outbounds of sing-box, and as much of its inbounds and routes as says where to listen and where what goes.
 *
 * @module
 */
import { parseSource, type Source } from "../config/source.ts";
import { ConfigError } from "../config/problems.ts";
import { type Draft, type GroupDraft, type HopDraft, ImportError, validName, type Via } from "./draft.ts";
import { inbound } from "./sing_box_inbound.ts";
import { addRules } from "./sing_box_rules.ts";
import { Item, items } from "./sing_box_item.ts";

/** Reads a configuration of sing-box, or one that holds outbounds alone. */
export function importSingBox(text: string, draft: Draft): void {
  const source: Source = parseSource(text, "json");
  if (source.broken) throw new ConfigError(source.problems);
  const root = new Item(source, [], source.value);
  const outbounds = items(root.take("outbounds"));
  if (outbounds.length === 0) throw new ImportError({ message: "expected `outbounds`, found none" });
  for (const item of items(root.take("inbounds"))) inbound(item, draft);
  if (draft.listeners.length === 0) draft.listener({ address: "127.0.0.1:1080" });
  const ways = new Ways(outbounds, draft);
  const route = root.item("route");
  const final = route?.text("final") ?? outbounds[0].text("tag") ?? "";
  if (route !== undefined) {
    addRules(items(route.take("rules")), (tag) => ways.via(tag), draft);
    route.reportRest(draft, "route");
  }
  const via = ways.via(final);
  if (via === undefined) {
    throw new ImportError({
      line: outbounds[0].line,
      message: "the outbound that all takes cannot be carried over",
    });
  }
  if (draft.routes.length > 0 || typeof via !== "string" || via === "reject") {
    draft.routes.push({ value: { via } });
  }
  ways.reportUnused();
  root.reportRest(draft, "");
}

/** The outbounds by their tags, made into chains when they are asked for. */
class Ways {
  readonly #items: ReadonlyMap<string, Item>;
  readonly #made = new Map<string, Via | undefined>();

  constructor(outbounds: readonly Item[], readonly draft: Draft) {
    this.#items = new Map(outbounds.map((item) => [item.text("tag") ?? "", item]));
  }

  /** Where an outbound leads; undefined if it cannot be carried over, which has been noted. */
  via(tag: string): Via | undefined {
    if (this.#made.has(tag)) return this.#made.get(tag);
    const item = this.#items.get(tag);
    if (item === undefined) {
      this.draft.note(undefined, `there is no outbound ${JSON.stringify(tag)}`);
      return undefined;
    }
    // An outbound that leads to itself finds nothing here.
    this.#made.set(tag, undefined);
    const via = this.#make(tag, item);
    this.#made.set(tag, via);
    return via;
  }

  /** Notes the outbounds that nothing leads to. */
  reportUnused(): void {
    for (const [tag, item] of this.#items) {
      const type = item.text("type");
      if (
        this.#made.has(tag) || this.draft.hops.has(validName(tag)) || type === "direct" || type === "block"
      ) continue;
      this.draft.note(item.line, `the outbound ${JSON.stringify(tag)} is left out: nothing leads to it`);
    }
  }

  #make(tag: string, item: Item): Via | undefined {
    const type = item.text("type") ?? "";
    if (type === "direct" || type === "block") {
      item.reportRest(this.draft, type);
      return type === "direct" ? "direct" : "reject";
    }
    if (type === "selector" || type === "urltest") return this.#group(type, item);
    const hops = this.#hops(tag, item, []);
    return hops && this.draft.chain(hops, { line: item.line, name: `to-${validName(tag)}` });
  }

  /** The hops that lead to a server, through those of its detour. */
  #hops(tag: string, item: Item, within: readonly string[]): string[] | undefined {
    const detour = item.text("detour");
    if (within.includes(tag)) {
      this.draft.note(item.line, "this `detour` leads in a circle");
      return undefined;
    }
    const hop = hopOf(item, this.draft);
    if (hop === undefined) return undefined;
    const name = this.draft.hops.has(validName(tag))
      ? validName(tag)
      : this.draft.hop(hop, { line: item.line, name: validName(tag), comment: remark(hop) });
    if (detour === undefined) return [name];
    const before = this.#items.get(detour);
    if (before?.text("type") === "direct") return [name];
    const way = before && this.#hops(detour, before, [...within, tag]);
    if (way === undefined) {
      this.draft.note(
        item.line,
        "this outbound is left out, because its `detour` is no proxy that is carried over",
      );
    }
    return way && [...way, name];
  }

  #group(type: "selector" | "urltest", item: Item): Via | undefined {
    const tags = item.texts("outbounds");
    const chosen = item.text("default");
    const ordered = chosen === undefined ? tags : [chosen, ...tags.filter((tag) => tag !== chosen)];
    const members = ordered.map((tag) => this.via(tag)).filter((via) => via !== undefined);
    if (type === "selector" && members.length > 1) {
      this.draft.note(item.line, "nobody switches a `selector` by hand here: the first that works is taken");
    }
    const choices = members.filter((via) => via !== "reject");
    if (choices.length < members.length) {
      this.draft.note(item.line, "an outbound of type `block` cannot be a choice; it is left out");
    }
    const check = type === "urltest" ? checkOf(item) : {};
    item.reportRest(this.draft, type);
    if (choices.length < 2) return choices[0];
    return { [type === "selector" ? "failover" : "fastest"]: choices, ...check };
  }
}

function checkOf(item: Item): Pick<GroupDraft, "check"> {
  const url = item.text("url") ?? "https://www.gstatic.com/generate_204";
  const every = item.text("interval") ?? "3m";
  if (!URL.canParse(url)) return {};
  const { protocol, hostname, port } = new URL(url);
  const target = `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`;
  return { check: { target, every: /^\d+(ms|s|m|h)$/.test(every) ? every : "3m" } };
}

function remark({ tls }: HopDraft): string | undefined {
  return tls?.insecure ? "this certificate is not verified" : undefined;
}

/** A proxy that Hopline can speak to. */
function hopOf(item: Item, draft: Draft): HopDraft | undefined {
  const type = item.text("type");
  const protocol = type === "http" ? "http" : type === "socks" ? socksVersion(item) : undefined;
  const [server, port] = [item.text("server"), item.take("server_port")];
  if (protocol === undefined) {
    draft.note(item.line, `an outbound of type ${JSON.stringify(type)} cannot be carried over`);
    return undefined;
  }
  if (server === undefined || typeof port !== "number") {
    draft.note(item.line, "this outbound is left out: expected `server` and `server_port`");
    return undefined;
  }
  const [username, password] = [item.text("username"), item.text("password")];
  const tls = tlsOf(item.item("tls"), draft);
  const timeout = item.text("connect_timeout");
  item.reportRest(draft, type!);
  return {
    protocol: tls === undefined ? protocol : `${protocol}+tls` as HopDraft["protocol"],
    address: `${server.includes(":") ? `[${server}]` : server}:${port}`,
    ...(username && { username }),
    ...(password && !protocol.startsWith("socks4") && { password }),
    ...(tls && Object.keys(tls).length > 0 && { tls }),
    ...(timeout && /^\d+(ms|s|m|h)$/.test(timeout) && { timeout }),
  };
}

function socksVersion(item: Item): "socks5" | "socks4" | "socks4a" {
  const version = item.text("version");
  return version === "4" ? "socks4" : version === "4a" ? "socks4a" : "socks5";
}

function tlsOf(item: Item | undefined, draft: Draft): HopDraft["tls"] {
  if (item === undefined || item.take("enabled") !== true) return undefined;
  const serverName = item.take("disable_sni") === true ? "" : item.text("server_name");
  const ca = item.text("certificate_path") ?? (item.texts("certificate").join("\n") || undefined);
  const alpn = item.texts("alpn");
  const insecure = item.take("insecure") === true;
  if (insecure) draft.note(item.line, "`insecure`: the certificate of this hop is not verified");
  item.reportRest(draft, "tls");
  return {
    ...(serverName !== undefined && { serverName }),
    ...(ca && { ca }),
    ...(alpn.length > 0 && { alpn }),
    ...(insecure && { insecure }),
  };
}
