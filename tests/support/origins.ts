/**
 * Servers that tunnels lead to, inside the test's own process: HTTP, HTTPS, and one that answers only after the
 * client has ended its direction.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join, normalize } from "node:path";
import type { Certificate } from "./certificates.ts";

/** A server that a tunnel can lead to. */
export interface Origin extends AsyncDisposable {
  readonly hostname: string;
  readonly port: number;
  /** `host:port`, with brackets where the address needs them. */
  readonly address: string;
}

/** A server that speaks HTTP, plain or inside TLS. */
export interface WebOrigin extends Origin {
  /** Its root, without a slash at the end. */
  readonly url: string;
}

/** One MiB that no compression or repetition can imitate, and what it hashes to. */
export const blob: Buffer = randomBytes(1 << 20);

/** The SHA-256 of some bytes, in hexadecimal. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Options of a web origin. */
export interface WebOptions {
  readonly hostname?: string;
  readonly tls?: Certificate;
  /** A directory whose files are served under `/files/`, for git. */
  readonly files?: string;
}

/**
 * `GET /blob` sends {@linkcode blob}; `POST /mirror` sends the body back while it comes, `POST /return` when it has
 * come; `GET /headers` sends the headers of the request.
 */
export async function webOrigin({ hostname = "127.0.0.1", tls, files }: WebOptions = {}): Promise<WebOrigin> {
  const answer: RequestListener = (request, response) => {
    const path = new URL(request.url ?? "/", "http://origin.test").pathname;
    if (path === "/blob") {
      response.setHeader("content-length", blob.length);
      return response.end(blob);
    }
    if (path === "/headers") return response.end(JSON.stringify(request.headers));
    if (path === "/mirror") {
      const length = request.headers["content-length"];
      if (length) response.setHeader("content-length", length);
      return request.pipe(response);
    }
    if (path === "/return") {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      return request.on("end", () => response.end(Buffer.concat(chunks)));
    }
    const file = files && path.startsWith("/files/") ? join(files, normalize(path.slice(6))) : undefined;
    if (file && statSync(file, { throwIfNoEntry: false })?.isFile()) {
      return createReadStream(file).pipe(response);
    }
    response.statusCode = 404;
    response.end("no such thing\n");
  };
  const server = tls
    ? createHttpsServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, answer)
    : createHttpServer(answer);
  const origin = await listen(server, hostname);
  return { ...origin, url: `${tls ? "https" : "http"}://${origin.address}` };
}

/** Says nothing until the client's FIN, then sends back all that came and ends: only a half-close can pass it. */
export function afterEndOrigin(hostname = "127.0.0.1"): Promise<Origin> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => socket.end(Buffer.concat(chunks)));
  });
  return listen(server, hostname);
}

/** Sends back what comes as it comes. */
export function echoOrigin(hostname = "127.0.0.1"): Promise<Origin> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  return listen(server, hostname);
}

/** Starts a server on a free port; what is still open when it goes is cut. */
export async function listen(server: Server, hostname = "127.0.0.1"): Promise<Origin> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: hostname, port: 0 }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    hostname,
    port,
    address: `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`,
    async [Symbol.asyncDispose]() {
      const done = new Promise((resolve) => server.close(resolve));
      open.forEach((socket) => socket.destroy());
      await done;
    },
  };
}
