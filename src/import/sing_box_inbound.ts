/**
 * The inbounds of sing-box.
 *
 * @module
 */
import type { Draft, ListenerDraft } from "./draft.ts";
import { type Item, items } from "./sing_box_item.ts";

const protocols: Record<string, ListenerDraft["protocols"]> = {
  mixed: undefined,
  socks: ["socks5", "socks4"],
  http: ["http"],
};

/** Adds a listener, unless it cannot be carried over. */
export function inbound(item: Item, draft: Draft): void {
  const type = item.text("type") ?? "";
  const port = item.take("listen_port");
  if (!Object.hasOwn(protocols, type) || typeof port !== "number") {
    draft.note(item.line, `an inbound of type ${JSON.stringify(type)} cannot be carried over`);
    return;
  }
  const host = item.text("listen") ?? "::";
  const users = items(item.take("users")).map((user) => ({
    username: user.text("username") ?? "",
    password: user.text("password") ?? "",
  }));
  const tls = item.item("tls");
  const inTls = tls?.take("enabled") === true;
  const certificate = tls?.text("certificate_path") ?? tls?.texts("certificate").join("\n");
  const key = tls?.text("key_path") ?? tls?.texts("key").join("\n");
  if (inTls) tls!.reportRest(draft, "tls");
  item.reportRest(draft, type);
  const spoken = protocols[type]?.filter((protocol) => users.length === 0 || protocol !== "socks4");
  draft.listener({
    address: `${host.includes(":") ? `[${host}]` : host}:${port}`,
    ...(spoken && { protocols: spoken }),
    ...(inTls && { tls: { certificate, key, required: true } }),
    ...(users.length > 0 && { users }),
  }, item.line);
}
