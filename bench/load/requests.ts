/**
 * Plain HTTP requests in absolute-form, on connections that are kept as long as the proxy keeps them.
 *
 * @module
 */
import type { Socket } from "bun";
import { Buffer } from "node:buffer";
import { Latencies } from "./latencies.ts";
import type { Bounds, Outcome } from "./tunnels.ts";

/** `tunnels` connections, one request at a time on each. */
export async function requests(port: number, target: number, bounds: Bounds): Promise<Outcome> {
  const authority = `127.0.0.1:${target}`;
  const message = Buffer.from(`GET http://${authority}/ HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  const latencies = new Latencies();
  const end = performance.now() + bounds.seconds * 1000;
  let [left, done, failed] = [bounds.count, 0, 0];
  const more = () => left-- > 0 && performance.now() < end;

  /** As many requests as this connection serves; `true` if it was the proxy that ended it. */
  const connection = () =>
    new Promise<boolean>((finished) => {
      let [began, length, head, asked] = [0, 0, "", 0];
      const ask = (socket: Socket<undefined>) => {
        [began, length, head] = [performance.now(), 0, ""];
        asked++;
        socket.write(message);
      };
      const close = () => {
        // A proxy may close behind any response; a client then asks again on a new connection.
        if (asked === 0 || began !== 0 && (asked === 1 || head !== "")) failed++;
        finished(more());
      };
      Bun.connect<undefined>({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: ask,
          data(socket, chunk) {
            if (length === 0) {
              head += Buffer.from(chunk).toString("latin1");
              length = responseLength(head);
              if (length === 0 || head.length < length) return;
            } else {
              head += " ".repeat(chunk.length);
              if (head.length < length) return;
            }
            latencies.add(performance.now() - began);
            if (head.startsWith("HTTP/1.1 200") || head.startsWith("HTTP/1.0 200")) done++;
            else failed++;
            began = 0;
            if (/^connection: close\r?$/im.test(head)) return; // the proxy closes
            if (more()) ask(socket);
            else socket.end();
          },
          close,
        },
      }).catch(close);
    });
  const lane = async () => {
    while (more()) {
      while (await connection());
    }
  };
  await Promise.all(Array.from({ length: bounds.tunnels }, lane));
  return { done, failed, ...latencies.percentiles() };
}

/** The length of a response with its head, or 0 while that isn't known. */
function responseLength(text: string): number {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return 0;
  return end + 4 + Number(/^content-length: *(\d+)/im.exec(text.slice(0, end))?.[1] ?? 0);
}
