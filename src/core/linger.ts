/**
 * How a connection is ended behind an answer that the peer has to get.
 *
 * @module
 */
import type { Conn, Context } from "./conn.ts";
import { Scope } from "./scope.ts";

/** As long as servers of other makes wait for such a peer. */
const longest = 5000;
/** As long as one is waited for when nothing else is left to do. */
const shortest = 250;
const most = 4 * 1024 * 1024;

/**
 * Ends our side and reads the peer's away, within bounds: closing a socket that holds unread bytes makes the kernel
 * send a reset, which can overtake the answer.
 *
 * @param house aborts when the server stops: then there is little time left
 */
export async function linger(conn: Conn, house: Context): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const hurry = () => timer = setTimeout(() => conn.close(), shortest);
  const patience = new Scope(house, { abort: hurry }).limit(longest - shortest);
  try {
    await conn.closeWrite();
    const sink = new Uint8Array(16 * 1024);
    for (let read = 0; read < most;) {
      const n = await conn.read(sink);
      if (n === null) break;
      read += n;
    }
  } catch {
    // it is gone
  } finally {
    patience.leave();
    clearTimeout(timer);
    conn.close();
  }
}
