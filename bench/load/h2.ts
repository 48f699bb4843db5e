/**
 * HTTP/2 CONNECT streams over cleartext connections, by prior knowledge: just enough of the protocol for sessions of
 * 64 bytes, each ended by RST_STREAM (CANCEL) as browsers end their tunnels. With some 2 KB under way at a time no window can run out, so they are not counted.
 *
 * @module
 */
import type { Socket } from "bun";
import { Buffer } from "node:buffer";
import { Latencies } from "./latencies.ts";
import type { Bounds, Outcome } from "./tunnels.ts";

const frame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 };
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const streamsEach = 8;
const nothing = new Uint8Array(0);
const ping = new Uint8Array(64);
const cancel = Uint8Array.of(0, 0, 0, 8);
/**
 * `:status: 200` as the first field, behind changes of the table's size: by its index, or by that of its name with the
 * value plain or in Huffman's code.
 */
const ok = /^(?:[23].)*(?:88|[014]8(?:03323030|821001))/;

/** What one stream waits for. */
interface Stream {
  echoed: number;
  ended(complete: boolean): void;
}

/** Sessions on streams, 8 at a time on each of `tunnels / 8` connections. */
export async function h2Sessions(port: number, target: number, bounds: Bounds): Promise<Outcome> {
  const connections = await Promise.all(
    Array.from(
      { length: Math.max(1, bounds.tunnels / streamsEach) },
      () => Connection.open(port, target),
    ),
  );
  const latencies = new Latencies();
  const end = performance.now() + bounds.seconds * 1000;
  let [left, done, failed] = [bounds.count, 0, 0];
  const lane = async (connection: Connection) => {
    while (left-- > 0 && performance.now() < end) {
      const began = performance.now();
      if (await connection.session()) done++;
      else failed++;
      latencies.add(performance.now() - began);
      if (connection.closed) return;
    }
  };
  await Promise.all(connections.map(async (connection) => {
    await Promise.all(Array.from({ length: Math.min(streamsEach, bounds.tunnels) }, () => lane(connection)));
    connection.close();
  }));
  return { done, failed, ...latencies.percentiles() };
}

class Connection {
  closed = false;
  readonly #request: Uint8Array;
  readonly #streams = new Map<number, Stream>();
  #socket: Socket<undefined> | undefined;
  #rest: Uint8Array = nothing;
  #next = 1;

  private constructor(target: number) {
    const authority = Buffer.from(`127.0.0.1:${target}`);
    // `:method: CONNECT` and `:authority`, both literals whose names are in the static table.
    const method = Buffer.concat([Buffer.of(0x02, 7), Buffer.from("CONNECT")]);
    this.#request = Buffer.concat([method, Buffer.of(0x01, authority.length), authority]);
  }

  static async open(port: number, target: number): Promise<Connection> {
    const connection = new Connection(target);
    connection.#socket = await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, chunk) => connection.#read(chunk),
        close: () => connection.#end(),
      },
    });
    const window = Buffer.alloc(4);
    window.writeUInt32BE(2 ** 31 - 1 - 65_535);
    const settings = build(frame.settings, 0, 0, nothing);
    connection.#socket.write(Buffer.concat([preface, settings, build(frame.windowUpdate, 0, 0, window)]));
    return connection;
  }

  /** `true` if the 64 bytes came back. */
  session(): Promise<boolean> {
    return new Promise((ended) => {
      const id = this.#next;
      this.#next += 2;
      this.#streams.set(id, { echoed: 0, ended });
      this.#socket!.write(build(frame.headers, 4, id, this.#request));
    });
  }

  close(): void {
    this.#socket!.end();
  }

  #end(): void {
    this.closed = true;
    for (const { ended } of this.#streams.values()) ended(false);
    this.#streams.clear();
  }

  #read(chunk: Uint8Array): void {
    let bytes: Uint8Array = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (bytes.length >= 9) {
      const size = 9 + (bytes[0] << 16 | bytes[1] << 8 | bytes[2]);
      if (bytes.length < size) break;
      const id = (bytes[5] & 127) << 24 | bytes[6] << 16 | bytes[7] << 8 | bytes[8];
      this.#frame(bytes[3], bytes[4], id, bytes.subarray(9, size));
      bytes = bytes.subarray(size);
    }
    this.#rest = bytes.slice();
  }

  #frame(type: number, flags: number, id: number, payload: Uint8Array): void {
    if (type === frame.settings && (flags & 1) === 0) {
      return void this.#socket!.write(build(frame.settings, 1, 0, nothing));
    }
    if (type === frame.ping && (flags & 1) === 0) {
      return void this.#socket!.write(build(frame.ping, 1, 0, payload));
    }
    if (type === frame.goaway) return void (this.closed = true);
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    let ends = type === frame.reset || type <= frame.headers && (flags & 1) === 1;
    if (type === frame.headers && !ends) {
      if (ok.test(Buffer.from(payload.subarray(0, 16)).toString("hex"))) {
        return void this.#socket!.write(build(frame.data, 0, id, ping));
      }
      ends = true;
    }
    if (type === frame.data) stream.echoed += payload.length;
    if (type !== frame.reset && (ends || stream.echoed >= ping.length)) {
      this.#socket!.write(build(frame.reset, 0, id, cancel));
      ends = true;
    }
    if (!ends) return;
    this.#streams.delete(id);
    stream.ended(stream.echoed === ping.length);
  }
}

function build(type: number, flags: number, id: number, payload: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(id, 5);
  bytes.set(payload, 9);
  return bytes;
}
