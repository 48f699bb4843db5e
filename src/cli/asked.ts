/**
 * Whose request a command asks about: `explain` and `trace` may stand in for any client.
 *
 * @module
 */
import { AddressError, formatEndpoint, ipVersion } from "../core/address.ts";
import type { Endpoint } from "../core/conn.ts";
import type { Config } from "../config/schema.ts";
import { routeProtocols } from "../config/protocols.ts";
import { parseListenAddress } from "../config/url.ts";
import type { Asked } from "../routing/rule.ts";
import { type Arguments, UsageError } from "./arguments.ts";

/** The options that say whose. */
export const askedOptions = ["user", "from", "listener", "protocol"] as const;

/** The request; without options nobody's in particular. @throws UsageError */
export function askedFor(target: Endpoint, { values }: Arguments, config: Config): Asked {
  const { user, from, listener, protocol } = values;
  return {
    target,
    user,
    client: from === undefined ? undefined : { source: clientAt(from) },
    listener: listener === undefined ? undefined : listenerAt(listener, config),
    protocol: protocol === undefined ? undefined : protocolCalled(protocol),
  };
}

function clientAt(address: string): Endpoint {
  if (ipVersion(address) !== 0) return { hostname: address, port: 1 };
  throw new UsageError(`--from is ${JSON.stringify(address)}; expected an IP address`);
}

function listenerAt(text: string, { listeners }: Config): number {
  const known = listeners.map(({ address }) => formatEndpoint(address));
  const wanted = listenAddress(text);
  const index = wanted === undefined ? -1 : known.indexOf(wanted);
  if (index >= 0) return index;
  throw new UsageError(
    `--listener is ${JSON.stringify(text)}; expected one of ${known.join(", ") || "none"}`,
  );
}

/** `:1080` is every address; what can't be parsed is no listener's. */
function listenAddress(text: string): string | undefined {
  try {
    return formatEndpoint(parseListenAddress(text));
  } catch (error) {
    if (error instanceof AddressError) return undefined;
    throw error;
  }
}

function protocolCalled(name: string): string {
  if ((routeProtocols as readonly string[]).includes(name)) return name;
  throw new UsageError(`--protocol is ${JSON.stringify(name)}; expected one of ${routeProtocols.join(", ")}`);
}
