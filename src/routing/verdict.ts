/**
 * Whom an error speaks of: the member of a group, or the target that it was asked for.
 *
 * @module
 */
import type { ErrorCode, ProxyError } from "../core/errors.ts";

/**
 * - `member`: it does not work. It is left alone for a while, and the next one is tried.
 * - `unclear`: it answered, but said no. The next one is tried; if that can do it, this one does not work.
 * - `elsewhere`: it can't be asked for this. The next one is tried, and nothing is said against this one.
 * - `target`: it works, and says that the target does not. No other is tried.
 */
export type Verdict = "member" | "unclear" | "elsewhere" | "target";

/** What the last hop of a member says when it is asked for the target. */
const ANSWER = {
  refused: "unclear",
  unreachable: "unclear",
  netUnreachable: "unclear",
  resolve: "unclear",
  timeout: "unclear",
  denied: "unclear",
  limit: "unclear",
  loop: "unclear",
  unsupported: "unclear",
  address: "unclear",
  failed: "unclear",
  auth: "member",
  protocol: "member",
  tls: "member",
  closed: "member",
} as const satisfies Record<ErrorCode, Verdict>;

/** The verdict on a member of hops, where `last` is the position of its last one. */
export function ofHops(error: ProxyError, last: number): Verdict {
  if (isOurs(error)) return "elsewhere";
  return error.hop === last ? ofAnswer(error) : "member";
}

/** The verdict on a member that is a target itself: whatever keeps us from it speaks of it. */
export function ofTarget(error: ProxyError): Verdict {
  return isOurs(error) ? "elsewhere" : "member";
}

/** The verdict on a member without hops: what stops it is between this machine and the target. */
export function ofNothing(): Verdict {
  return "elsewhere";
}

/** Whether the way to a hop ended at its server, rather than before: `last` is the position of the hop before it. */
export function speaksOfServer(error: ProxyError, last: number): boolean {
  if (isOurs(error)) return false;
  return error.hop === undefined || error.hop === 0 || error.hop === last && ofAnswer(error) !== "member";
}

function ofAnswer({ side, stage, code }: ProxyError): Verdict {
  if (side === "target") return "target";
  return stage === "request" ? ANSWER[code] : "member";
}

/** Our own doing: what a protocol can't carry, or descriptors that have run out. A deadline is ours, and its cause is not. */
function isOurs({ side, stage, code }: ProxyError): boolean {
  return side === "local" && code !== "timeout" || stage === "connect" && code === "limit";
}
