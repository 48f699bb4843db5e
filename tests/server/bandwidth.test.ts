/**
 * Bandwidth over time, as whoever receives measures it: for each user and each listener, in each direction, whatever the
 * protocol.
 *
 * That no more comes than may come holds on every machine, however busy it is. That no less comes takes a machine which
 * can move a few MiB a second.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import { createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { concat } from "../support/bytes.ts";
import { listen, type Origin } from "../support/origins.ts";
import { http, httpAnswer, socks5 } from "./clients.ts";
import { type Serving, serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const KiB = 1024;
const rate = 512 * KiB;
const perUser = "512KiB";
const seconds = 3;

/** Counts what comes to one receiver, over however many connections. */
class Meter {
  bytes = 0;
  readonly #begun = performance.now();
  #ready = this.#begun;

  /** Counts what comes by a source from now on. */
  count(source: Duplex): void {
    source.on("data", (chunk: Uint8Array) => this.bytes += chunk.length);
  }

  /** All the sources have begun. */
  ready(): void {
    this.#ready = performance.now();
  }

  /** The least and the most that is due by now, apart from a burst. */
  get due(): [least: number, most: number] {
    const now = performance.now();
    return [rate * (now - this.#ready) / 1000, rate * (now - this.#begun) / 1000];
  }
}

/** Within 5 %: the burst at the beginning, and what is on its way at the end, are less. */
function assertExact(meters: Record<string, Meter>): void {
  for (const [what, meter] of Object.entries(meters)) {
    const { bytes, due: [least, most] } = meter;
    const found = `${what}: ${bytes} bytes where ${Math.round(least)} to ${Math.round(most)} were due`;
    assert(bytes <= 1.05 * most, found);
    assert(bytes >= 0.95 * least, found);
  }
}

/** What nothing limits; the machine has to move twice as much. */
async function assertUnlimited(open: (meter: Meter) => Promise<unknown>): Promise<void> {
  const meter = new Meter();
  await open(meter);
  await passed(1);
  const { bytes, due: [least] } = meter;
  assert(bytes > 2 * least, `${bytes} bytes where a limit would allow ${Math.round(least)}`);
}

const flood = Buffer.alloc(64 * KiB);

/** Sends for as long as somebody takes it. */
function pour(stream: Duplex): void {
  stream.on("error", () => {});
  const more = () => {
    while (!stream.destroyed && stream.write(flood));
  };
  stream.on("drain", more);
  more();
}

const stack = new AsyncDisposableStack();
/** Sends without end, behind the head of a response if it is asked by HTTP, and takes what comes. */
let source: Origin;
/** What has come to the source, connection by connection. */
const arrivals: Socket[] = [];
before(async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    arrivals.push(socket);
    socket.once("data", (first: Buffer) => {
      const asked = first.toString("latin1");
      if (asked.startsWith("GET ")) socket.write("HTTP/1.1 200 OK\r\n\r\n");
      if (!asked.startsWith("POST ")) pour(socket);
    });
  });
  source = stack.use(await listen(server, "127.0.0.1"));
});
after(() => stack.disposeAsync());

const names = ["alice", "bob", "carol", "dave", "erin", "frank"];
const users = names.map((username) => ({ username, password: "secret" }));
const [alice, bob, carol, dave, erin, frank] = users;
type User = typeof alice;

/** A tunnel to the source, which has begun to send. */
async function tunnel(
  { at }: Pick<Serving, "at">,
  wires: DisposableStack,
  meter: Meter,
  user?: User,
): Promise<Duplex> {
  const wire = wires.use(await Wire.to(at));
  meter.count(wire.socket);
  wire.send(socks5.ask(source, user), "go");
  assertEquals(await socks5.answer(wire), 0);
  return released(wire, meter);
}

/** The stream of a wire, which no longer keeps what comes. */
function released({ socket }: Wire, meter: Meter): Duplex {
  socket.removeAllListeners("data");
  meter.count(socket);
  return socket;
}

/** The connection of the source that comes next. */
async function arrival(open: () => Promise<unknown>): Promise<Socket> {
  const count = arrivals.length;
  await open();
  while (arrivals.length === count) await new Promise((resolve) => setTimeout(resolve, 5));
  return arrivals[count];
}

const basic = ({ username, password }: User) => `Basic ${btoa(`${username}:${password}`)}`;

/** A plain request; the answer to a GET has begun to come. */
async function request(
  { at }: Serving,
  wires: DisposableStack,
  meter: Meter,
  user: User,
  method: "GET" | "POST",
): Promise<Duplex> {
  const wire = wires.use(await Wire.to(at));
  meter.count(wire.socket);
  const length = method === "POST" ? "Content-Length: 1000000000\r\n" : "";
  wire.send(
    `${method} http://${source.address}/ HTTP/1.1\r\nHost: ${source.address}\r\n`,
    `Proxy-Authorization: ${basic(user)}\r\n${length}\r\n`,
  );
  if (method === "GET") await wire.readThrough("\r\n\r\n");
  return released(wire, meter);
}

/** A tunnel in a stream of HTTP/2. */
async function stream({ at }: Serving, wires: DisposableStack, meter: Meter, user: User): Promise<void> {
  const session = http2.connect(`http://127.0.0.1:${at.port}`);
  wires.defer(() => session.destroy());
  const tunnel = session.request({
    ":method": "CONNECT",
    ":authority": source.address,
    "proxy-authorization": basic(user),
  }, { endStream: false });
  const status = await new Promise((resolve, reject) => {
    tunnel.once("response", (headers) => resolve(headers[":status"]));
    tunnel.once("error", reject);
  });
  assertEquals(status, 200);
  meter.count(tunnel);
  tunnel.write("go");
}

const passed = (s = seconds) => new Promise((resolve) => setTimeout(resolve, s * 1000));

test("limits.bandwidthPerUser holds for each user by himself, in each direction, in tunnels and in requests", async () => {
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", users }],
    limits: { bandwidthPerUser: perUser },
  });
  using wires = new DisposableStack();
  let up!: Duplex;
  const down = new Meter();
  const upThere = await arrival(async () => up = await tunnel(house, wires, down, carol));
  let body!: Duplex;
  const bodyThere = await arrival(async () => body = await request(house, wires, new Meter(), erin, "POST"));
  const inStream = new Meter();
  await stream(house, wires, inStream, frank);
  const answer = new Meter();
  await request(house, wires, answer, dave, "GET");
  const one = new Meter();
  await tunnel(house, wires, one, bob);
  const eight = new Meter();
  for (let count = 0; count < 8; count++) await tunnel(house, wires, eight, alice);
  const [sent, uploaded] = [upThere, bodyThere].map((socket) => {
    const meter = new Meter();
    meter.count(socket);
    return meter;
  });
  pour(up);
  pour(body);
  const meters = {
    "eight tunnels": eight,
    "one tunnel": one,
    "a tunnel down": down,
    "the same up": sent,
    "a response": answer,
    "a request": uploaded,
    "a stream of HTTP/2": inStream,
  };
  for (const meter of Object.values(meters)) meter.ready();
  await passed();
  assertExact(meters);
});

test("tunnels of one user take turns", async () => {
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", users }],
    limits: { bandwidthPerUser: perUser },
  });
  using wires = new DisposableStack();
  const shares: Meter[] = [];
  for (let count = 0; count < 8; count++) {
    const socket = await tunnel(house, wires, new Meter(), alice);
    const share = new Meter();
    share.count(socket);
    shares.push(share);
  }
  await passed();
  const bytes = shares.map(({ bytes }) => bytes);
  assert(Math.max(...bytes) < 1.5 * Math.min(...bytes), `shares ${bytes}`);
});

test("a listener's bandwidth is for all that goes through it, whoever it is", async () => {
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", users, bandwidth: rate }, "127.0.0.1:0"],
    limits: { bandwidthPerUser: "100MiB" },
  });
  using wires = new DisposableStack();
  const meter = new Meter();
  for (const user of users) await tunnel(house, wires, meter, user);
  meter.ready();
  await passed();
  assertExact({ "six users": meter });
  const [, at] = house.server.addresses;
  await assertUnlimited((meter) => tunnel({ at }, wires, meter));
});

test("a limit that is the same after a reload goes on, for old and new tunnels together", async () => {
  const config = {
    listeners: [
      { address: "127.0.0.1:0", users, bandwidth: rate },
      { address: "127.0.0.1:0", users: [bob] },
    ],
    limits: { bandwidthPerUser: perUser },
  };
  await using house = await serving(config);
  using wires = new DisposableStack();
  const [, at] = house.server.addresses;
  const [listener, user] = [new Meter(), new Meter()];
  await tunnel(house, wires, listener, alice);
  await tunnel({ at }, wires, user, bob);
  await house.server.replace(config);
  await tunnel(house, wires, listener, carol);
  await tunnel({ at }, wires, user, bob);
  listener.ready();
  user.ready();
  await passed();
  assertExact({ "a listener": listener, "a user": user });
});

test("a reload changes the limit of what comes then, and not of what is there", async () => {
  const listeners = [{ address: "127.0.0.1:0", users }];
  await using house = await serving({ listeners, limits: { bandwidthPerUser: perUser } });
  using wires = new DisposableStack();
  const old = new Meter();
  await tunnel(house, wires, old, alice);
  await house.server.replace({ listeners });
  old.ready();
  await passed();
  assertExact({ "the old tunnel": old });
  await assertUnlimited((meter) => tunnel(house, wires, meter, alice));
});

test("what is limited arrives whole, both ways, and ends by itself", async () => {
  await using house = await serving({ listeners: [{ address: "127.0.0.1:0", bandwidth: "1MiB" }] });
  const whole = crypto.getRandomValues(new Uint8Array(64 * KiB));
  const all = concat(...Array.from({ length: 6 }, () => whole));
  await using target = stack.use(
    await listen(
      createServer({ allowHalfOpen: true }, (socket) => {
        const chunks: Buffer[] = [];
        socket.on("data", (chunk: Buffer) => chunks.push(chunk));
        socket.on("end", () => socket.end(Buffer.concat(chunks)));
      }),
      "127.0.0.1",
    ),
  );
  using wire = await Wire.to(house.at);
  wire.send(http.ask(target), all);
  wire.end();
  assertEquals((await httpAnswer(wire)).status, 200);
  assertEquals(await wire.rest(), all);
  const { fields } = await house.logged("tunnel.closed");
  assertEquals([fields.bytesUp, fields.bytesDown, fields.reason], [all.length, all.length, undefined]);
});
