/**
 * The schema of a target: where a port forward, a certificate or a route leads.
 *
 * @module
 */
import { z } from "zod";
import type { ReadText } from "./files.ts";
import { checkGroup, membersSchema, strictly } from "./group.ts";
import { proxyProtocolVersion, tlsClient } from "./hop.ts";
import { type GroupKind, groupKinds } from "./protocols.ts";
import { parseAddress } from "./url.ts";
import { parsed } from "./values.ts";

/** Where clients are led: an address, an object that says more, or a group of them. */
export function targetSchema(read: ReadText) {
  const one = oneTarget(read);
  const group = strictly(groupKinds, z.strictObject(membersSchema(one)).superRefine(checkGroup))
    .transform((group): TargetGroupConfig => {
      const kind = groupKinds.find((kind) => group[kind] !== undefined)!;
      const members = group[kind]!.map((member) =>
        "via" in member ? { ...member.via, weight: member.weight } : { ...member, weight: 1 }
      );
      return { kind, members };
    });
  return z.union([group, one]);
}

function oneTarget(read: ReadText) {
  const object = z.strictObject({
    address: parsed((text) => parseAddress(text)).describe("host:port."),
    tls: tlsClient(read).optional().describe("Speak TLS to it."),
    proxyProtocol: proxyProtocolVersion().optional()
      .describe("Tell it of the client first, in this version of the PROXY protocol."),
  });
  return z.union([parsed((text) => ({ address: parseAddress(text) })), object])
    .transform((given): z.output<typeof object> => given);
}

/** One place where clients are led. */
export type TargetConfig = z.output<ReturnType<typeof oneTarget>>;

/** Several such places, of which one is chosen each time. */
export interface TargetGroupConfig {
  readonly kind: GroupKind;
  readonly members: readonly (TargetConfig & { readonly weight: number })[];
}
