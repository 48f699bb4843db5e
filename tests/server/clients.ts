/**
 * The clients' side of each protocol, written down a second time, from the documents: what a client sends, and what
 * the answer says.
 *
 * @module
 */
import { assertEquals, assertMatch } from "@std/assert";
import type { Endpoint } from "../../src/core/conn.ts";
import { concat, fromUtf8, toHex, utf8 } from "../support/bytes.ts";
import type { Wire } from "./wire.ts";

/** A user name and a password. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** How one protocol asks for a tunnel. */
export interface Client {
  /** Its name in the log. */
  readonly protocol: "socks5" | "socks4" | "http";
  /** All that it says up to the tunnel, as it would be pipelined. */
  ask(target: Endpoint, credentials?: Credentials): Uint8Array;
  /** Takes the answer, and no byte behind it: SOCKS5's REP, SOCKS4's CD, HTTP's status. */
  answer(wire: Wire): Promise<number>;
  /** The answer that means success. */
  readonly success: number;
}

const port = (n: number) => Uint8Array.of(n >> 8, n & 255);
const sized = (text: string) => concat(Uint8Array.of(utf8(text).length), text);
const literal = (hostname: string) => /^[0-9.]+$/.test(hostname);

/** SOCKS5 (RFC 1928), with RFC 1929 where there are credentials. */
export const socks5: Client = {
  protocol: "socks5",
  ask({ hostname, port: number }, credentials) {
    const greeting = credentials === undefined ? Uint8Array.of(5, 1, 0) : concat(
      Uint8Array.of(5, 1, 2, 1),
      sized(credentials.username),
      sized(credentials.password),
    );
    const address = literal(hostname)
      ? Uint8Array.of(1, ...hostname.split(".").map(Number))
      : hostname === "::1"
      ? Uint8Array.of(4, ...new Uint8Array(15), 1)
      : concat(Uint8Array.of(3), sized(hostname));
    return concat(greeting, Uint8Array.of(5, 1, 0), address, port(number));
  },
  async answer(wire) {
    const [version, method] = await wire.read(2);
    assertEquals(version, 5);
    if (method === 2) assertEquals(toHex(await wire.read(2)), "01 00");
    else assertEquals(method, 0);
    return await socks5Reply(wire);
  },
  success: 0,
};

/** Takes a reply of SOCKS5 and checks its form. */
export async function socks5Reply(wire: Wire): Promise<number> {
  const [version, reply, reserved, atyp] = await wire.read(4);
  assertEquals([version, reserved], [5, 0]);
  assertEquals(atyp === 1 || atyp === 4, true, "the bound address is a literal");
  await wire.read((atyp === 1 ? 4 : 16) + 2);
  return reply;
}

/** SOCKS4, and 4a for names. */
export const socks4: Client = {
  protocol: "socks4",
  ask({ hostname, port: number }) {
    const ip = literal(hostname) ? hostname.split(".").map(Number) : [0, 0, 0, 1];
    const name = literal(hostname) ? "" : `${hostname}\0`;
    return concat(Uint8Array.of(4, 1), port(number), Uint8Array.from(ip), "joe\0", name);
  },
  async answer(wire) {
    const [version, code] = await wire.read(8);
    assertEquals(version, 0);
    return code;
  },
  success: 90,
};

/** HTTP CONNECT, with Basic credentials. */
export const http: Client = {
  protocol: "http",
  ask({ hostname, port }, credentials) {
    const host = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
    const secret = credentials && btoa(`${credentials.username}:${credentials.password}`);
    const field = secret === undefined ? "" : `Proxy-Authorization: Basic ${secret}\r\n`;
    return utf8(`CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n${field}\r\n`);
  },
  answer: async (wire) => (await httpAnswer(wire)).status,
  success: 200,
};

/** An HTTP answer, whole. */
export interface HttpAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Takes an HTTP answer and checks its form: a refusal explains itself, a success has no body. */
export async function httpAnswer(wire: Wire): Promise<HttpAnswer> {
  const head = await wire.readThrough("\r\n\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3}) [A-Z]/.exec(head)?.[1]);
  if (status === 200) {
    assertEquals(/content-length|transfer-encoding/i.test(head), false);
    return { status, head, body: "" };
  }
  assertMatch(head, /^content-type: text\/plain/im);
  assertMatch(head, /^proxy-status: hopline/im);
  assertMatch(head, /^connection: close\r$/im);
  const length = Number(/^content-length: (\d+)\r$/im.exec(head)?.[1]);
  return { status, head, body: fromUtf8(await wire.read(length)) };
}

/** All of them. */
export const clients: readonly Client[] = [socks5, socks4, http];
