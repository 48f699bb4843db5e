/**
 * A web page that asks for everything a page can ask for, and reports what came.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { Certificate } from "./certificates.ts";
import { blob, listen, sha256, type WebOrigin } from "./origins.ts";

/** The page's server. */
export interface Page extends WebOrigin {
  /** What it was asked for so far, as `GET /path`, in the order of the alphabet. */
  asked(): string[];
}

const scripts = Array.from({ length: 30 }, (_, i) => `/script/${i}.js`);
const images = Array.from({ length: 20 }, (_, i) => `/image/${i}.svg`);
/** A WebSocket's message that needs many frames or one with a long length. */
const message = 300_000;

/** What the page reports when everything came. */
export const whole = {
  scripts: scripts.map((_, i) => i),
  images: images.map((_, i) => i + 1),
  large: sha256(blob),
  mirrored: sha256(blob),
  slow: [200, "slow"],
  chunked: [200, "one two three "],
  redirected: [200, "slow"],
  validated: [[200, "etag"], [200, "etag"]],
  missing: [404, "no such thing"],
  events: ["1", "2", "3"],
  socket: ["hello", message],
};

/** What the server is asked for then: nothing twice but what the page asks for twice, and nothing that it doesn't. */
export const wanted: readonly string[] = [
  "GET /",
  ...[...scripts, ...images].map((path) => `GET ${path}`),
  ...["blob", "slow", "slow", "chunked", "redirect", "etag", "etag 304", "missing", "events", "socket"]
    .map((path) => `GET /${path}`),
  "POST /heard",
  "POST /mirror",
].sort();

const html = `<!doctype html>
<title>Everything</title>
<link rel="icon" href="data:,">
<script>
const loaded = [];
</script>
${images.map((path) => `<img src="${path}">`).join("\n")}
${scripts.map((path) => `<script src="${path}"></script>`).join("\n")}
<script>
const text = async (...request) => {
  const response = await fetch(...request);
  return [response.status, await response.text()];
};
const bytes = async (...request) => (await fetch(...request)).arrayBuffer();
const sha256 = async (data) => {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};
async function mirrored() {
  return sha256(await bytes("/mirror", { method: "POST", body: await large }));
}
async function validated() {
  return [await text("/etag"), await text("/etag", { cache: "no-cache" })];
}
function events() {
  return new Promise((resolve) => {
    const came = [];
    const source = new EventSource("/events");
    source.onmessage = ({ data }) => {
      if (came.push(data) === 3) text("/heard", { method: "POST" });
    };
    source.onerror = () => {
      source.close();
      resolve(came);
    };
  });
}
function socket() {
  return new Promise((resolve, reject) => {
    const came = [];
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/socket");
    socket.onopen = () => {
      socket.send("hello");
      socket.send("x".repeat(${message}));
    };
    socket.onmessage = ({ data }) => {
      if (came.push(data.length > 10 ? data.length : data) === 2) socket.close(1000);
    };
    socket.onclose = ({ code, wasClean }) => {
      if (wasClean && code === 1000) resolve(came);
      else reject("the WebSocket ended with " + code + " after " + came);
    };
  });
}
const large = bytes("/blob");
const report = (async () => {
  const all = {
    images: Promise.all([...document.images].map((image) => image.decode().then(() => image.naturalWidth))),
    large: large.then(sha256),
    mirrored: mirrored(),
    slow: text("/slow"),
    chunked: text("/chunked"),
    redirected: text("/redirect"),
    validated: validated(),
    missing: text("/missing"),
    events: events(),
    socket: socket(),
  };
  for (const name in all) all[name] = await all[name];
  return { scripts: loaded, ...all };
})();
</script>
`;

/** Serves the page. */
export async function page(tls?: Certificate): Promise<Page> {
  const asked: string[] = [];
  /** The page has had the events while their stream was open. */
  const heard = Promise.withResolvers<void>();
  const answer: RequestListener = async (request, response) => {
    const path = request.url ?? "/";
    const fresh = request.headers["if-none-match"] === '"1"';
    asked.push(`${request.method} ${path}${fresh ? " 304" : ""}`);
    response.setHeader("cache-control", path === "/etag" ? "no-cache" : "no-store");
    const number = Number(path.match(/\d+/)?.[0]);
    if (path === "/") {
      response.setHeader("content-type", "text/html");
      return response.end(html);
    }
    if (scripts.includes(path)) {
      response.setHeader("content-type", "text/javascript");
      return response.end(`loaded.push(${number});`);
    }
    if (images.includes(path)) {
      response.setHeader("content-type", "image/svg+xml");
      return response.end(`<svg xmlns="http://www.w3.org/2000/svg" width="${number + 1}" height="1"/>`);
    }
    switch (path) {
      case "/blob":
        response.setHeader("content-length", blob.length);
        return response.end(blob);
      case "/mirror":
        return request.pipe(response);
      case "/slow":
        await delay(300);
        return response.end("slow");
      case "/chunked":
        for (const word of ["one ", "two ", "three "]) {
          response.write(word);
          await delay(20);
        }
        return response.end();
      case "/redirect":
        response.writeHead(302, { location: "/slow" });
        return response.end();
      case "/etag":
        response.writeHead(fresh ? 304 : 200, { etag: '"1"' });
        return response.end(fresh ? undefined : "etag");
      case "/events":
        response.setHeader("content-type", "text/event-stream");
        for (let i = 1; i <= 3; i++) {
          response.write(`data: ${i}\n\n`);
          await delay(20);
        }
        await heard.promise;
        return response.end();
      case "/heard":
        heard.resolve();
        return response.end();
      default:
        response.statusCode = 404;
        return response.end("no such thing");
    }
  };
  const server = tls
    ? createHttpsServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, answer)
    : createHttpServer(answer);
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    asked.push(`${request.method} ${request.url}`);
    echo(request, socket, head);
  });
  const origin = await listen(server, "127.0.0.1");
  return {
    ...origin,
    url: `${tls ? "https" : "http"}://${origin.address}`,
    asked: () => [...asked].sort(),
  };
}

/** A WebSocket whose frames come back one by one, whatever they are; the last of them is the one that closes. */
function echo(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  let rest = head;
  const take = (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let size; (size = frameSize(rest)) !== undefined; rest = rest.subarray(size.end)) {
      const payload = Buffer.from(rest.subarray(size.head, size.end));
      const mask = rest.subarray(size.head - 4, size.head);
      for (let i = 0; i < payload.length; i++) payload[i] ^= mask[i % 4];
      const first = Buffer.from(rest.subarray(0, size.head - 4));
      first[1] &= 0x7f;
      socket.write(Buffer.concat([first, payload]));
      if ((first[0] & 0x0f) === 8) socket.end();
    }
  };
  socket.on("error", () => {});
  socket.on("data", take);
  take(Buffer.alloc(0));
}

/** Where a client's frame has its payload, with the mask before it, and where it ends; nothing when it isn't all there. */
function frameSize(bytes: Buffer): { head: number; end: number } | undefined {
  if (bytes.length < 2) return;
  const short = bytes[1] & 0x7f;
  const head = 2 + (short === 127 ? 8 : short === 126 ? 2 : 0) + 4;
  if (bytes.length < head) return;
  const length = short === 127
    ? Number(bytes.readBigUInt64BE(2))
    : short === 126
    ? bytes.readUInt16BE(2)
    : short;
  return bytes.length < head + length ? undefined : { head, end: head + length };
}
