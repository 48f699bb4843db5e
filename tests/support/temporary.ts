/**
 * What a test borrows from the machine for a moment: a directory, a port, an address.
 *
 * @module
 */
import { randomInt } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory that is removed when it is disposed of. */
export interface Directory extends Disposable {
  readonly path: string;
  /** Writes a file into it and returns the file's path. */
  write(name: string, content: string | Uint8Array): string;
  join(...parts: string[]): string;
}

/** Makes a directory; open to everyone, because squid and danted give up root before they write their logs. */
export function temporaryDirectory(): Directory {
  const path = mkdtempSync(join(tmpdir(), "hopline-test-"));
  chmodSync(path, 0o777);
  return {
    path,
    join: (...parts) => join(path, ...parts),
    write(name, content) {
      const file = join(path, name);
      writeFileSync(file, content);
      return file;
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

/**
 * A port that nobody listens on. It lies below the range that the system gives to outgoing connections, so that
 * none of them takes it before the server which was told to use it.
 */
export async function freePort(hostname = "127.0.0.1"): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(12_000, 30_000);
    if (await free(hostname, port)) return port;
  }
  throw new Error(`no free port on ${hostname}`);
}

/** A loopback address on which port 443 is free, for a machine "outside" that a strict proxy lets through to. */
export async function outsideAddress(): Promise<string> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(2, 255)}`;
    if (await free(address, 443)) return address;
  }
  throw new Error("port 443 can be had on no loopback address: run the tests as root");
}

function free(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host, port }, () => server.close(() => resolve(true)));
  });
}
