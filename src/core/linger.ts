/**
 * How a connection is ended behind an answer that the peer has to get.
 *
 * @module
 */
import type { Conn } from "./conn.ts";

/** As long as servers of other makes wait for such a peer. */
const longest = 5000;
const most = 4 * 1024 * 1024;

/**
 * Ends our side and reads the peer's away, within bounds: closing a socket that holds unread bytes makes the kernel
 * send a reset, which can overtake the answer.
 */
export async function linger(conn: Conn): Promise<void> {
  const timer = setTimeout(() => conn.close(), longest);
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
    clearTimeout(timer);
    conn.close();
  }
}
