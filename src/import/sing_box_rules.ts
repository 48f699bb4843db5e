/**
 * The rules of sing-box's `route`, as far as they say it by name, address and port.
 *
 * @module
 */
import type { Draft, Via } from "./draft.ts";
import type { Item } from "./sing_box_item.ts";

/** Adds a route for each rule that can be carried over whole; a part of one would lead elsewhere. */
export function addRules(
  rules: readonly Item[],
  viaOf: (tag: string) => Via | undefined,
  draft: Draft,
): void {
  for (const rule of rules) {
    const action = rule.text("action") ?? "route";
    const outbound = rule.text("outbound");
    const hosts = [
      ...rule.texts("domain"),
      ...rule.texts("domain_suffix").flatMap((suffix) => {
        const name = suffix.replace(/^\./, "");
        return suffix.startsWith(".") ? [`*.${name}`] : [name, `*.${name}`];
      }),
      ...rule.texts("ip_cidr"),
    ];
    const ports = [
      ...rule.texts("port"),
      ...rule.texts("port_range").map((range) => range.replace(":", "-")),
    ];
    const via = action === "reject" ? "reject" : outbound === undefined ? undefined : viaOf(outbound);
    const left = rule.keys.filter((key) => !understood.includes(key));
    if (!["route", "reject"].includes(action) || left.length > 0 || hosts.length + ports.length === 0) {
      const what = left.length > 0 ? `\`${left.join("`, `")}\`` : `the action ${JSON.stringify(action)}`;
      draft.note(rule.line, `a rule with ${what} cannot be carried over`);
      continue;
    }
    if (via === undefined) draft.note(rule.line, "this rule rejects now: its outbound is not carried over");
    const to = ports.length === 0
      ? hosts
      : (hosts.length === 0 ? ["*"] : hosts).flatMap((host) =>
        ports.map((port) => `${host.includes(":") ? `[${host}]` : host}:${port}`)
      );
    draft.routes.push({ value: { to, via: via ?? "reject" }, line: rule.line });
  }
}

const understood = ["action", "outbound", "domain", "domain_suffix", "ip_cidr", "port", "port_range"];
