/**
 * glider.conf, with its rule files.
 *
 * @module
 */
import { type Draft, type GroupDraft, ImportError, type Via } from "./draft.ts";
import { forwarder, listener } from "./glider_nodes.ts";
import type { ReadFile } from "./import.ts";
import { lines } from "./lines.ts";

interface Setting {
  readonly key: string;
  readonly value: string;
  readonly line: number;
  /** The rule file that it stands in. */
  readonly file?: string;
}

/** Without a meaning here, or on by themselves. */
const silent = ["verbose", "checkwebsite", "checkduration", "checkinterval", "check", "strategy"];

/** Reads a configuration of glider. */
export async function importGlider(text: string, draft: Draft, read: ReadFile): Promise<void> {
  const main = settings(text);
  const rules: Setting[][] = [];
  for (const { key, value, line } of main) {
    if (key === "listen") listener(value, line, draft);
    else if (key === "rulefile") rules.push(settings(await included(value, line, read), value));
    else if (key !== "forward" && !silent.includes(key)) draft.note(line, `\`${key}\` is left out`);
    if (key === "rules-dir") draft.note(line, "name each of its files as `rulefile` to have it carried over");
  }
  if (draft.listeners.length === 0) draft.listener({ address: "127.0.0.1:1080" });
  for (const rule of rules) await addRule(rule, draft, read);
  const via = way(main, draft);
  if (draft.routes.length > 0 || typeof via !== "string" || via === "reject") {
    draft.routes.push({ value: { via } });
  }
}

function settings(text: string, file?: string): Setting[] {
  return lines(text).map(({ line, content }) => {
    const [, key, value] = /^-{0,2}([\w-]+)\s*=\s*(.*)$/.exec(content) ?? [];
    if (key === undefined) throw new ImportError({ file, line, message: "expected KEY=VALUE" });
    return { key: key.toLowerCase(), value, line, file };
  });
}

async function included(path: string, line: number, read: ReadFile): Promise<string> {
  try {
    return await read(path);
  } catch (error) {
    throw new ImportError({ line, message: (error as Error).message });
  }
}

/** The destinations of a rule file, as a route. */
async function addRule(rule: readonly Setting[], draft: Draft, read: ReadFile): Promise<void> {
  const to: string[] = [];
  for (const { key, value, line, file } of rule) {
    if (key === "domain") to.push(value, `*.${value}`);
    else if (key === "ip" || key === "cidr") to.push(value);
    else if (key === "include") {
      const list = settings(await included(value, line, read), value);
      for (const one of list) {
        to.push(...(one.key === "domain" ? [one.value, `*.${one.value}`] : [one.value]));
      }
    } else if (key !== "forward" && !silent.includes(key)) draft.note(line, `\`${key}\` is left out`, file);
  }
  if (to.length > 0) draft.routes.push({ value: { to, via: way(rule, draft) } });
}

/** Where the forwarders of a file lead, by its strategy. */
function way(all: readonly Setting[], draft: Draft): Via {
  const last = (key: string) => all.findLast((setting) => setting.key === key);
  const forwards = all.filter(({ key }) => key === "forward").map((setting) => forwarder(setting, draft));
  const known = forwards.filter((way) => way !== undefined);
  const ways = known.filter(({ via }) => via !== "reject" || known.length === 1)
    .sort((a, b) => b.priority - a.priority);
  if (ways.length === 0) return forwards.length === 0 ? "direct" : "reject";
  const strategy = last("strategy");
  const kind = kinds[strategy?.value ?? "rr"];
  if (ways.length === 1) return ways[0].via;
  if (kind === undefined || kind === "hash") {
    draft.note(
      strategy?.line,
      `the strategy \`${strategy?.value}\` is not known here; the forwarders take turns`,
    );
  }
  if (kind !== "failover" && ways.some(({ priority }) => priority !== ways[0].priority)) {
    draft.note(strategy?.line, "priorities are heeded by the strategy `ha` alone");
  }
  return {
    [kind === undefined || kind === "hash" ? "roundRobin" : kind]: ways.map(({ via }) => via),
    ...check(last("check") ?? last("checkwebsite"), last("checkinterval") ?? last("checkduration"), draft),
  };
}

const kinds: Record<string, keyof GroupDraft | "hash" | undefined> = {
  rr: "roundRobin",
  ha: "failover",
  lha: "fastest",
  dh: "hash",
};

/** glider asks a web server through each forwarder; here, reaching it is enough. */
function check(
  setting: Setting | undefined,
  interval: Setting | undefined,
  draft: Draft,
): Pick<GroupDraft, "check"> {
  if (setting === undefined || setting.value === "disable") return {};
  const [, scheme, host, port] =
    /^(?:(https?|tcp):\/\/)?([^/:#]+)(?::(\d+))?(?:[/#].*)?$/.exec(setting.value) ?? [];
  if (host === undefined) {
    draft.note(
      setting.line,
      `\`${setting.key}\` is left out; expected http://host or tcp://host:port`,
      setting.file,
    );
    return {};
  }
  const every = interval && /^\d+$/.test(interval.value) ? `${interval.value}s` : "30s";
  return { check: { target: `${host}:${port ?? (scheme === "https" ? 443 : 80)}`, every } };
}
