/**
 * One request that is not CONNECT, in any version of HTTP: who may ask, what is answered here, and what goes on.
 *
 * @module
 */
import { formatHead } from "../core/http_head.ts";
import type { Session } from "../core/serve.ts";
import { type Reply, wrong } from "./http_answers.ts";
import { admission } from "./http_credentials.ts";
import type { Downstream } from "./http_downstream.ts";
import { Exchange } from "./http_exchange.ts";
import type { Pool } from "./http_pool.ts";
import {
  type Destination,
  destinationOf,
  maxForwards,
  Refusal,
  type Request,
  siteOf,
} from "./http_request.ts";

/** Answers a request, or has it forwarded; `true` when the client has passed the gate. */
export async function serveRequest(
  client: Downstream,
  request: Request,
  session: Session,
  pool: Pool,
): Promise<boolean> {
  const { head } = request;
  const admitted = await admission(session.gate, head.fields);
  if (!admitted.admitted) {
    const { error, reply } = wrong(407, admitted.why, "auth", admitted.who);
    session.refused(error);
    await client.answer(reply);
    return false;
  }
  try {
    const place = placeOf(request, session);
    if (place === undefined) await client.answer(ownReply(request, session));
    else await new Exchange(client, request, place, admitted.user, session, pool).run();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { status, message, code, fatal } = error;
    const refused = wrong(status, message, code);
    session.refused(refused.error);
    await client.answer(refused.reply, fatal);
  }
  return true;
}

/** Where a request goes; nowhere if it ends here. @throws Refusal */
function placeOf(request: Request, { reverse }: Session): Destination | undefined {
  const { head } = request;
  if (!reverse && head.method === "OPTIONS" && head.target === "*") return undefined;
  const place = reverse ? siteOf(request) : destinationOf(request);
  return maxForwards(head) === 0 ? undefined : place;
}

/** What is never repeated to whoever traces a request. */
const secrets = ["authorization", "proxy-authorization", "cookie"];

/** OPTIONS and TRACE that end here: what can be asked, and what was (RFC 9110 sections 9.3.7 and 9.3.8). */
function ownReply({ head: { method, target, fields }, version }: Request, { reverse }: Session): Reply {
  if (method === "OPTIONS") {
    const allowed = reverse ? "OPTIONS" : "CONNECT, OPTIONS";
    return { status: 200, fields: [["Allow", allowed]], body: new Uint8Array(0) };
  }
  const told = fields.filter(([name]) => !secrets.includes(name));
  const body = formatHead(`TRACE ${target} HTTP/${version}`, told);
  return { status: 200, fields: [], type: "message/http", body };
}
