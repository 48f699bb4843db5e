/**
 * HTTP/2 as a hop: many tunnels on few connections, none lost when one is renewed.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import type { Conn } from "../../src/core/conn.ts";
import { background } from "../../src/core/handshake.ts";
import { Trail } from "../../src/core/trail.ts";
import { basic } from "../../src/protocols/http_challenges.ts";
import { connect } from "../../src/protocols/http_connect.ts";
import { utf8 } from "../support/bytes.ts";
import { failureOf, rejectionOf } from "../support/errors.ts";
import * as h2 from "../support/h2_peer.ts";
import { memoryPair } from "../support/memory.ts";
import { eventually } from "../support/process.ts";
import {
  ending,
  expectPattern,
  outcome,
  readExactly,
  readText,
  send,
  writeText,
} from "../support/traffic.ts";
import { agreed, echo, hopTo, Proxy, target } from "./h2_proxy.ts";

const MiB = 1 << 20;

/** Sends a word through a tunnel to an echo, and the end, and waits for both. */
async function roundTrip(conn: Conn, word: string): Promise<void> {
  await writeText(conn, word);
  await conn.closeWrite();
  assertEquals(await readText(conn), word);
  conn.close();
}

test("100 tunnels at once share one connection, which is opened once", async () => {
  const proxy = new Proxy({}, echo);
  const dialer = hopTo(proxy.connect);
  const conns = await Promise.all(Array.from({ length: 100 }, () => dialer.dial(target)));
  assertEquals(proxy.accepted.length, 1);
  await Promise.all(conns.map((conn, index) => roundTrip(conn, `tunnel ${index}`)));
});

test("who gives up waiting for a connection takes nothing from the others", async () => {
  const proxy = new Proxy({}, echo);
  const opening = Promise.withResolvers<void>();
  const dialer = hopTo(async () => {
    await opening.promise;
    return await proxy.connect();
  });
  const impatient = new AbortController();
  const first = rejectionOf(dialer.dial(target, impatient));
  const second = dialer.dial(target);
  impatient.abort(new Error("enough"));
  assertStringIncludes(String(await first), "enough");
  opening.resolve();
  await roundTrip(await second, "patience");
  assertEquals(proxy.accepted.length, 1);
});

test("when nobody waits any more, the opening is given up, and the next one begins anew", async () => {
  const proxy = new Proxy({}, echo);
  const signals: AbortSignal[] = [];
  const dialer = hopTo((_target, ctx) => {
    signals.push(ctx!.signal);
    return signals.length === 1 ? new Promise(() => {}) : proxy.connect();
  });
  const impatient = new AbortController();
  const both = [dialer.dial(target, impatient), dialer.dial(target, impatient)].map(rejectionOf);
  impatient.abort(new Error("enough"));
  await Promise.all(both);
  assertEquals(signals.map(({ aborted }) => aborted), [true]);
  await roundTrip(await dialer.dial(target), "anew");
});

test("an opening that fails is told to all who wait, and tried again by who comes next", async () => {
  const proxy = new Proxy({}, echo);
  let attempts = 0;
  const dialer = hopTo(() => ++attempts === 1 ? Promise.reject(new Error("no way")) : proxy.connect());
  const failures = await Promise.all([dialer.dial(target), dialer.dial(target)].map(rejectionOf));
  assertEquals(failures.map(String), ["Error: no way", "Error: no way"]);
  await roundTrip(await dialer.dial(target), "now");
  assertEquals(attempts, 2);
});

test("beyond the proxy's stream limit there is a further connection", async () => {
  const proxy = new Proxy({ maxStreams: 10 }, echo);
  const dialer = hopTo(proxy.connect);
  const conns = await Promise.all(Array.from({ length: 25 }, () => dialer.dial(target)));
  assertEquals(proxy.accepted.length, 3);
  await Promise.all(conns.map((conn, index) => roundTrip(conn, `tunnel ${index}`)));
});

test("GOAWAY under load loses nothing", async () => {
  const proxy = new Proxy({}, echo);
  const dialer = hopTo(proxy.connect);
  const long = await dialer.dial(target);
  const workers = Array.from({ length: 20 }, async (_, worker) => {
    for (let round = 0; round < 20; round++) {
      await roundTrip(await dialer.dial(target), `${worker}.${round}`);
      if (worker === 0 && round % 4 === 3) proxy.accepted.at(-1)!.retire.abort();
    }
  });
  await Promise.all(workers);
  assert(proxy.accepted.length > 3, `${proxy.accepted.length} connections`);
  await roundTrip(long, "on the first connection, to the end");
  for (const { done } of proxy.accepted.slice(0, -1)) assertEquals(await done, undefined);
});

/** A proxy whose side of the connection is a script of frames. */
function scripted(...scripts: ((peer: h2.RawPeer) => Promise<void>)[]) {
  const peers: h2.RawPeer[] = [];
  const connect = (): Promise<Conn> => {
    const [near, far] = memoryPair();
    const peer = new h2.RawPeer(far);
    const script = scripts[Math.min(peers.length, scripts.length - 1)];
    peers.push(peer);
    (async () => {
      await readExactly(far, h2.preface.length);
      await peer.send(h2.raw(h2.SETTINGS, 0, 0));
      await script(peer);
    })().catch(() => far.abort());
    return Promise.resolve(near);
  };
  return { connect, peers };
}

const ok = h2.block({ ":status": "200" });
const answering = (fields: Record<string, string>, last = true) => async (peer: h2.RawPeer) => {
  for (;;) {
    const { stream } = await peer.until(h2.HEADERS);
    await peer.send(h2.headers(stream, fields, last));
  }
};

for (
  const [what, refuse] of Object.entries<(stream: number) => Uint8Array>({
    "GOAWAY that names an earlier one": () => h2.raw(h2.GOAWAY, 0, 0, new Uint8Array(8)),
    "REFUSED_STREAM": (stream) => h2.raw(h2.RST_STREAM, 0, stream, h2.number(7)),
  })
) {
  test(`a stream that the proxy has not begun with is tried again: ${what}`, async () => {
    let refused = 0;
    const script = async (peer: h2.RawPeer) => {
      for (;;) {
        const { stream } = await peer.until(h2.HEADERS);
        if (refused++ === 0) await peer.send(refuse(stream));
        else await peer.send(h2.raw(h2.HEADERS, 4, stream, ok), h2.raw(h2.DATA, 1, stream, "second"));
      }
    };
    const dialer = hopTo(scripted(script).connect);
    assertEquals(await readText(await dialer.dial(target)), "second");
  });
}

test("a proxy that refuses every stream is believed at last", async () => {
  const { connect } = scripted(async (peer) => {
    for (;;) await peer.send(h2.raw(h2.RST_STREAM, 0, (await peer.until(h2.HEADERS)).stream, h2.number(7)));
  });
  assertEquals((await failureOf(hopTo(connect).dial(target))).code, "limit");
});

/** A connection that can be held up: nothing passes, and nothing says so. */
function holdable(conn: Conn): Conn & { hold(): void } {
  let held = false;
  const forever = new Promise<never>(() => {});
  return {
    localAddr: null,
    remoteAddr: null,
    hold: () => held = true,
    read: async (p) => {
      const n = await conn.read(p);
      return held ? await forever : n;
    },
    write: (p) => held ? Promise.resolve() : conn.write(p),
    closeWrite: () => conn.closeWrite(),
    close: () => conn.close(),
    abort: () => conn.abort(),
  };
}

test("a proxy that is gone without a word is found by PING; its tunnels end, and the next has a new connection", async () => {
  const lines: ReturnType<typeof holdable>[] = [];
  const proxy = new Proxy({}, echo, (conn) => {
    lines.push(holdable(conn));
    return lines.at(-1)!;
  });
  const dialer = hopTo(proxy.connect, { care: { silence: 30, patience: 100, idle: 600_000 } });
  const conn = await dialer.dial(target);
  await writeText(conn, "hello");
  assertEquals(await readExactly(conn, 5), "hello");
  lines[0].hold();
  assertMatch((await failureOf(conn.read(new Uint8Array(1)))).message, /PING/);
  await roundTrip(await dialer.dial(target), "anew");
  assertEquals(proxy.accepted.length, 2);
});

test("a tunnel that is asked for over a dead connection goes over a new one", async () => {
  const lines: ReturnType<typeof holdable>[] = [];
  const proxy = new Proxy({}, echo, (conn) => {
    lines.push(holdable(conn));
    return lines.at(-1)!;
  });
  const dialer = hopTo(proxy.connect, { care: { silence: 600_000, patience: 100, idle: 600_000 } });
  await roundTrip(await dialer.dial(target), "first");
  lines[0].hold();
  await new Promise((resolve) => setTimeout(resolve, 1100)); // long enough for a doubt
  await roundTrip(await dialer.dial(target), "second");
  assertEquals(proxy.accepted.length, 2);
});

test("an idle connection is closed after a while, and one more is opened when it is wanted", async () => {
  const proxy = new Proxy({}, echo);
  const dialer = hopTo(proxy.connect, { care: { silence: 600_000, patience: 600_000, idle: 30 } });
  await roundTrip(await dialer.dial(target), "first");
  assertEquals(await proxy.accepted[0].done, undefined);
  await roundTrip(await dialer.dial(target), "second");
  assertEquals(proxy.accepted.length, 2);
});

test("a plan that is retired keeps no idle connection, and cuts no tunnel", async () => {
  const proxy = new Proxy({}, echo);
  const retired = new AbortController();
  const dialer = hopTo(proxy.connect, { retired: retired.signal });
  const conn = await dialer.dial(target);
  retired.abort();
  assertEquals(await outcome(proxy.accepted[0].done, 100), "pending");
  await roundTrip(conn, "to the end");
  assertEquals(await proxy.accepted[0].done, undefined);
  await roundTrip(await dialer.dial(target), "a late one");
  assertEquals(await proxy.accepted[1].done, undefined);
});

test("a tunnel's ends: FIN each way, and a reset that is CANCEL", async () => {
  const proxy = new Proxy();
  const dialer = hopTo(proxy.connect);
  const conn = await dialer.dial(target);
  const [end] = proxy.accepted[0].targets;
  await end.closeWrite();
  assertEquals(await readText(conn), "");
  await writeText(conn, "still here");
  await conn.closeWrite();
  assertEquals(await readText(end), "still here");

  const cut = await dialer.dial(target);
  cut.abort();
  assertEquals(await ending(proxy.accepted[0].targets[1]), "error");
  const reset = await dialer.dial(target);
  proxy.accepted[0].targets[2].abort();
  assertMatch(String(await rejectionOf(reset.read(new Uint8Array(1)))), /CONNECT_ERROR/);

  const { connect, peers } = scripted(answering({ ":status": "200" }, false));
  (await hopTo(connect).dial(target)).abort();
  assertEquals(
    await eventually("a reset", () => peers[0].frames.find(({ type }) => type === h2.RST_STREAM)?.payload[3]),
    8,
  );
});

for (const direction of ["up", "down"] as const) {
  test(`a tunnel that stalls holds up no other: 16 MiB ${direction} beside it`, async () => {
    const proxy = new Proxy();
    const dialer = hopTo(proxy.connect);
    const conns = await Promise.all([1, 2, 3, 4].map(() => dialer.dial(target)));
    const { targets } = proxy.accepted[0];
    const ends = conns.map((conn, index) =>
      direction === "up" ? [conn, targets[index]] : [targets[index], conn]
    );
    const [[stalled, reader], ...others] = ends;
    let written = 0;
    const pushing = (async () => {
      for (; written < 16 * MiB; written += 65_536) await stalled.write(new Uint8Array(65_536));
    })();
    await Promise.all(others.flatMap(([from, to]) => [send(from, 16 * MiB), expectPattern(to, 16 * MiB)]));
    assertEquals(await outcome(pushing, 0), "pending");
    assert(written < 4 * MiB, `${written} bytes were taken for a reader that does not read`);
    reader.abort();
    await pushing.catch(() => {});
  });
}

for (
  const [status, fields, code, side] of [
    ["502", { "proxy-status": "x; error=connection_refused" }, "refused", "target"],
    ["504", {}, "timeout", "upstream"],
    ["403", {}, "denied", "upstream"],
    ["503", {}, "unreachable", "upstream"],
    ["301", {}, "protocol", "upstream"],
  ] as const
) {
  test(`${status} means ${code}`, async () => {
    const { connect } = scripted(answering({ ":status": status, ...fields }));
    const failure = await failureOf(hopTo(connect).dial(target));
    assertEquals([failure.code, failure.stage, failure.side], [code, "request", side]);
    assertStringIncludes(failure.message, status);
  });
}

test("an interim answer is no answer", async () => {
  const { connect } = scripted(async (peer) => {
    const { stream } = await peer.until(h2.HEADERS);
    await peer.send(h2.headers(stream, { ":status": "103" }), h2.headers(stream, { ":status": "200" }));
    await peer.send(h2.raw(h2.DATA, 1, stream, "through"));
  });
  assertEquals(await readText(await hopTo(connect).dial(target)), "through");
});

test("credentials go with every stream; without them a 407 is told", async () => {
  const seen: string[] = [];
  const { connect } = scripted(async (peer) => {
    for (;;) {
      const { stream, payload } = await peer.until(h2.HEADERS);
      seen.push(new TextDecoder("latin1").decode(payload));
      const refused = { ":status": "407", "proxy-authenticate": "Basic realm=x" };
      await peer.send(
        h2.headers(stream, seen.at(-1)!.includes(btoa("alice:secret")) ? { ":status": "200" } : refused),
      );
    }
  });
  const dialer = hopTo(connect, { authenticator: basic("alice", "secret") });
  await Promise.all([dialer.dial(target), dialer.dial(target)]);
  const failure = await failureOf(hopTo(connect).dial(target));
  assertEquals([failure.code, failure.stage], ["auth", "auth"]);
  assertEquals(seen.length, 3);
});

for (
  const [what, code, script] of [
    [
      "a reset instead of an answer",
      "failed",
      async (peer: h2.RawPeer) =>
        await peer.send(h2.raw(h2.RST_STREAM, 0, (await peer.until(h2.HEADERS)).stream, h2.number(0xa))),
    ],
    ["an end instead of an answer", "closed", async (peer: h2.RawPeer) => {
      await peer.until(h2.HEADERS);
      peer.conn.close();
    }],
    ["an answer without a status", "closed", answering({ "x": "y" })],
    [
      "leave to push, which is not a server's to give,",
      "closed",
      async (peer: h2.RawPeer) => {
        await peer.until(h2.HEADERS);
        await peer.send(h2.raw(h2.SETTINGS, 0, 0, Uint8Array.of(0, 2, 0, 0, 0, 1)));
        await peer.goaway();
      },
    ],
  ] as const
) {
  test(`${what} is ${code}`, async () => {
    assertEquals((await failureOf(hopTo(scripted(script).connect).dial(target))).code, code);
  });
}

test("no answer in time", async () => {
  const failure = await failureOf(
    hopTo(scripted(() => new Promise(() => {})).connect, { timeout: 50 }).dial(target),
  );
  assertEquals([failure.code, failure.side], ["timeout", "upstream"]);
  assertStringIncludes(failure.message, "the answer to CONNECT");
});

test("a server that agreed on HTTP/2 and speaks something else", async () => {
  const dialer = hopTo(async () => {
    const [near, far] = memoryPair();
    await far.write(utf8("HTTP/1.1 400 Bad Request\r\n\r\n"));
    return near;
  });
  const failure = await failureOf(dialer.dial(target));
  assertEquals([failure.code, failure.stage], ["protocol", "request"]);
});

for (const protocol of [undefined, "http/1.1"]) {
  test(`ALPN that chose ${protocol ?? "nothing"} is an error of TLS, or HTTP/1.1 where that is allowed`, async () => {
    const opened: Conn[] = [];
    const plain = () => {
      const [near, far] = memoryPair();
      opened.push(far);
      (async () => {
        for (let text = ""; !text.endsWith("\r\n\r\n");) text += await readExactly(far, 1);
        await writeText(far, "HTTP/1.1 200 OK\r\n\r\n");
        echo(far);
      })().catch(() => {});
      return Promise.resolve(near);
    };
    const layer = (conn: Conn) => Promise.resolve(agreed(conn, protocol));
    const failure = await failureOf(hopTo(plain, { layer }).dial(target, background));
    assertEquals([failure.code, failure.stage], ["tls", "tls"]);
    assertStringIncludes(failure.message, "does not speak HTTP/2");
    const dialer = hopTo(plain, { layer, fallback: connect });
    const conns = await Promise.all([1, 2, 3].map(() => dialer.dial(target)));
    await Promise.all(conns.map((conn, index) => roundTrip(conn, `over HTTP/1.1, ${index}`)));
    assertEquals(opened.length, 4);
  });
}

test("a shared connection remembers the way to the proxy, for each of its tunnels and while it lives", async () => {
  const proxy = new Proxy({}, echo);
  const load = { tunnels: 0 };
  const retiring = new AbortController();
  const dialer = hopTo(async (_server, ctx) => {
    ctx!.trail!.pass("near");
    ctx!.trail!.keepBusy(load);
    return await proxy.connect();
  }, { retired: retiring.signal });
  const vias: (readonly string[])[] = [];
  for (const word of ["one", "two"]) {
    const trail = new Trail();
    trail.pass("far");
    await roundTrip(await dialer.dial(target, { ...background, trail }), word);
    trail.leave();
    vias.push(trail.via);
    assertEquals(load.tunnels, 1, "the connection itself, once");
  }
  assertEquals(vias, [["near", "far"], ["near", "far"]]);
  retiring.abort();
  await eventually(() => "the connection's end", () => load.tunnels === 0 || undefined);
});

test("a proxy that is not reached, or speaks HTTP/1.1, has its way told too", async () => {
  const load = { tunnels: 0 };
  const way = async (fails: boolean) => {
    const dialer = hopTo((_server, ctx) => {
      ctx!.trail!.pass("near");
      ctx!.trail!.keepBusy(load);
      return fails ? Promise.reject(new Error("not there")) : Promise.resolve(http1());
    }, { layer: (conn) => Promise.resolve(agreed(conn, "http/1.1")), fallback: connect });
    const vias: string[] = [];
    for (let i = 0; i < 2; i++) {
      const trail = new Trail();
      const dialled = dialer.dial(target, { ...background, trail });
      if (fails) await rejectionOf(dialled);
      else (await dialled).close();
      vias.push(`${trail.via}: ${load.tunnels}`);
      trail.leave();
    }
    return vias;
  };
  assertEquals(await way(false), ["near: 1", "near: 1"]);
  assertEquals(await way(true), ["near: 0", "near: 0"]);
  assertEquals(load.tunnels, 0);
});

function http1(): Conn {
  const [near, far] = memoryPair();
  writeText(far, "HTTP/1.1 200 OK\r\n\r\n");
  return near;
}
