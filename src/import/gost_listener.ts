/**
 * The listeners of gost: `-L`.
 *
 * @module
 */
import type { Draft, ListenerDraft } from "./draft.ts";
import { basic, schemeOf } from "./gost.ts";
import { hostAndPort, Options, parseNodeUrl } from "./node_url.ts";
import type { Word } from "./shell.ts";

const protocols: Record<string, ListenerDraft["protocols"]> = {
  "": undefined,
  auto: undefined,
  http: ["http"],
  http2: ["http"],
  socks: ["socks5"],
  socks5: ["socks5"],
  socks5h: ["socks5"],
  socks4: ["socks4"],
  socks4a: ["socks4"],
  tcp: undefined,
  forward: undefined,
  sni: undefined,
};

/** Adds the listener of a `-L`, unless it cannot be carried over. */
export function gostListener({ text, line }: Word, draft: Draft): ListenerDraft[] {
  const url = parseNodeUrl(text, line);
  const { protocol, transport } = schemeOf(url);
  const dropped = (why: string) => {
    draft.note(line, `-L ${url.scheme || "auto"}:// is left out: ${why}`);
    return [];
  };
  if (!Object.hasOwn(protocols, protocol) || !["tcp", "tls"].includes(transport)) {
    return dropped("Hopline does not serve it");
  }
  const { host, port } = hostAndPort(url.host);
  if (!port || !/^\d+$/.test(port) && !port.includes("\ue000")) return dropped("expected [host]:port");
  const options = new Options(url.options);
  const certificate = options.take("tls.certfile", "certfile", "cert");
  const key = options.take("tls.keyfile", "keyfile", "key");
  const clientCa = options.take("tls.cafile", "cafile", "ca");
  const inTls = transport === "tls" || protocol === "http2";
  if (inTls && (certificate === undefined || key === undefined)) {
    return dropped("it names no `cert` and `key`; gost makes up a certificate, Hopline wants a real one");
  }
  const targets = url.path.split(",").filter((target) => target !== "");
  if ((protocol === "tcp" || protocol === "forward") && targets.length === 0) {
    return dropped("it is a port forward without a target, :port/host:port");
  }
  if (targets.length > 1) {
    draft.note(line, `-L: of ${targets.length} targets, only the first is carried over`);
  }
  const { username, password } = url.username === undefined ? basic(options.take("auth"), line) : url;
  const target = targets[0];
  const users = username === undefined ? undefined : [{ username, password: password ?? "" }];
  if (users && !password) return dropped("its user has no password, and nobody could log in");
  if (users && target !== undefined) draft.note(line, "-L: a port forward asks for no user");
  for (const name of options.rest) draft.note(line, `-L: the option \`${name}\` is left out`);
  const value: ListenerDraft = {
    address: `${host}:${port}`,
    ...(target === undefined && protocols[protocol] && { protocols: protocols[protocol] }),
    ...(target !== undefined && { target }),
    ...(protocol === "sni" && { sni: true }),
    ...(inTls && { tls: { certificate, key, ...(clientCa && { clientCa }), required: true } }),
    ...(users && target === undefined && protocol !== "sni" && { users }),
  };
  if (users && protocol.startsWith("socks4")) return dropped("SOCKS4 has no passwords");
  return [draft.listener(value, line)];
}
