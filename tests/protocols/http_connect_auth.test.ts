/**
 * Proxy authentication over HTTP: who gets in at a server, and how a client answers challenges.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { test } from "node:test";
import { type Authenticator, basic, type Challenge, connect } from "../../src/protocols/http_connect.ts";
import { parseChallenges } from "../../src/protocols/http_challenges.ts";
import { concat, fromUtf8, utf8 } from "../support/bytes.ts";
import { proxyError, thrownBy } from "../support/errors.ts";
import { gateFor } from "../support/gates.ts";
import { everyChunking, run } from "../support/handshake.ts";
import { acceptConnect, readAnswer } from "../support/http.ts";

const base64 = (text: string) => btoa(String.fromCharCode(...utf8(text)));
const request = (...authorizations: string[]) =>
  `CONNECT a:443 HTTP/1.1\r\n${
    authorizations.map((value) => `Proxy-Authorization: ${value}\r\n`).join("")
  }\r\n`;

const users: [username: string, password: string, authorization: string][] = [
  ["alice", "secret", `Basic ${base64("alice:secret")}`],
  ["alice", "secret", `basic ${base64("alice:secret")}`],
  ["alice", "secret", `BASIC   ${base64("alice:secret")}`],
  ["alice", "se:cr:et:", `Basic ${base64("alice:se:cr:et:")}`],
  ["ülrike", "pässword", `Basic ${base64("ülrike:pässword")}`],
  ["alice", "", `Basic ${base64("alice:")}`],
  ["", "secret", `Basic ${base64(":secret")}`],
  ["\ufeffa", "b", `Basic ${base64("\ufeffa:b")}`],
  ["ab", "c", "Basic YWI6Yw"],
];
for (const [username, password, authorization] of users) {
  test(`${authorization.slice(0, 30)} lets ${JSON.stringify(username)} in`, () => {
    for (const chunks of everyChunking(concat(request(authorization), "payload"))) {
      const gate = gateFor(username, password);
      const { result, writes, rest } = run(acceptConnect(gate), chunks);
      assertEquals([result?.user, writes, fromUtf8(rest)], [username, [], "payload"]);
      assertEquals(gate.knocks, [[username, password]]);
    }
  });
}

const strangers: [name: string, authorizations: string[], knocks: string[][]][] = [
  ["nothing", [], []],
  ["an empty value", [""], []],
  ["a wrong password", [`Basic ${base64("alice:wrong")}`], [["alice", "wrong"]]],
  ["a wrong user", [`Basic ${base64("eve:secret")}`], [["eve", "secret"]]],
  ["empty credentials", [`Basic ${base64(":")}`], [["", ""]]],
  ["no colon", [`Basic ${base64("alicesecret")}`], []],
  ["malformed base64", ["Basic YWxpY2U6c2VjcmV0!"], []],
  ["base64 of a wrong length", ["Basic YWxpY"], []],
  ["no UTF-8", [`Basic ${btoa("alice:\xff")}`], []],
  ["another scheme", [`Bearer ${base64("alice:secret")}`], []],
  ["a scheme alone", ["Basic"], []],
  ["the right ones twice", [`Basic ${base64("alice:secret")}`, `Basic ${base64("alice:secret")}`], []],
  ["something behind them", [`Basic ${base64("alice:secret")} x`], []],
];
for (const [name, authorizations, knocks] of strangers) {
  test(`${name}: one 407 with a challenge, and nothing further is parsed`, () => {
    const again = request(`Basic ${base64("alice:secret")}`);
    for (const chunks of everyChunking(concat(request(...authorizations), again), 20)) {
      const gate = gateFor("alice", "secret");
      const { error, result, writes, rest } = run(acceptConnect(gate), chunks);
      assertEquals([result, writes.length, fromUtf8(rest)], [undefined, 1, again]);
      const answer = readAnswer(writes[0]);
      assertEquals([answer.status, answer.reason], [407, "Proxy Authentication Required"]);
      assertEquals(answer.field("connection"), "close");
      assertEquals(answer.field("proxy-authenticate"), 'Basic realm="hopline", charset="UTF-8"');
      assert(answer.body.length > 10);
      assertEquals(gate.knocks, knocks);
      const { code, side, stage, message } = proxyError(error);
      assertEquals([code, side, stage], ["auth", "client", "auth"]);
      assert(!/secret|YWxp/.test(message) && !/secret|YWxp/.test(fromUtf8(writes[0])), message);
    }
  });
}

test("a refused user is named in the error, printably, not in the answer", () => {
  const { error, writes } = run(
    acceptConnect(gateFor("a", "b")),
    utf8(request(`Basic ${base64("e\x1bve:hunter2")}`)),
  );
  assertEquals(proxyError(error).message, 'wrong credentials for user "e\\u001bve"');
  assert(!fromUtf8(writes[0]).includes('ve"'));
});

// --- the client's side --------------------------------------------------------------------------------------------

const target = { hostname: "a", port: 443 };
const ok = "HTTP/1.1 200 OK\r\n\r\n";
const challenge = (body: string, fields = `Content-Length: ${body.length}\r\n`, version = "1.1") =>
  `HTTP/${version} 407 Who?\r\nProxy-Authenticate: Digest nonce="1"\r\n${fields}\r\n${body}`;

/** Answers every challenge with a count, up to `most`. */
function counting(most: number): Authenticator & { readonly asked: (readonly Challenge[])[] } {
  const asked: (readonly Challenge[])[] = [];
  return {
    asked,
    first: () => undefined,
    answer: (challenges) => asked.push(challenges) <= most ? `Digest ${asked.length}` : undefined,
  };
}

test("Basic is sent at once, and says the same to every server", () => {
  const { writes } = run(connect(target, basic("alice", "se:cret ü")), utf8(ok));
  assertEquals(
    writes.map(fromUtf8),
    [`CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nProxy-Authorization: Basic ${
      base64("alice:se:cret ü")
    }\r\n\r\n`],
  );
});

test("a colon in a user name can't be sent", () => {
  const { code, side, message } = proxyError(thrownBy(() => basic("a:b", "hunter2")));
  assertEquals([code, side, message.includes("hunter2")], ["auth", "local", false]);
});

const rounds: [name: string, first: string][] = [
  ["no body", challenge("")],
  ["a body of one byte", challenge("x")],
  ["a body", challenge("<html>HTTP/1.1 200 OK\r\n\r\n</html>")],
  ["keep-alive on HTTP/1.0", challenge("body", "Content-Length: 4\r\nConnection: keep-alive\r\n", "1.0")],
  [
    "Proxy-Connection: Keep-Alive on HTTP/1.0",
    challenge("", "Content-Length: 0\r\nProxy-Connection: Keep-Alive\r\n", "1.0"),
  ],
  ["1xx before it", `HTTP/1.1 100 Continue\r\n\r\n${challenge("body")}`],
];
for (const [name, first] of rounds) {
  test(`a 407 with ${name} is answered over the same connection`, () => {
    for (const chunks of everyChunking(concat(first, challenge("again"), ok, "tunnel"))) {
      const authenticator = counting(2);
      const { done, error, writes, rest } = run(connect(target, authenticator), chunks);
      assertEquals([done, error, fromUtf8(rest)], [true, undefined, "tunnel"]);
      const plain = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n";
      assertEquals(writes.map(fromUtf8), [
        `${plain}\r\n`,
        `${plain}Proxy-Authorization: Digest 1\r\n\r\n`,
        `${plain}Proxy-Authorization: Digest 2\r\n\r\n`,
      ]);
      assertEquals(authenticator.asked[0], [{ scheme: "digest", parameters: 'nonce="1"' }]);
    }
  });
}

test("the next request waits for the whole body of the 407", () => {
  const bytes = utf8(challenge("body"));
  assertEquals(run(connect(target, counting(1)), bytes.slice(0, -1)).writes.length, 1);
  assertEquals(run(connect(target, counting(1)), bytes).writes.length, 2);
});

const ending = "wants another round of authentication but ends the connection";
const hopeless: [name: string, answer: string, authenticator: Authenticator, says: string][] = [
  [
    "no credentials",
    challenge(""),
    counting(0),
    "wants credentials and none are configured (407; it accepts digest)",
  ],
  ["refused ones", challenge(""), basic("a", "hunter2"), "refused the credentials (407; it accepts digest)"],
  ["no challenge", "HTTP/1.1 407 x\r\n\r\n", counting(0), "it accepts nothing it names"],
  ["Connection: close", challenge("", "Content-Length: 0\r\nConnection: close\r\n"), counting(1), ending],
  [
    "Proxy-Connection: Close",
    challenge("", "Content-Length: 0\r\nProxy-Connection: Close\r\n"),
    counting(1),
    ending,
  ],
  ["HTTP/1.0", challenge("", "Content-Length: 0\r\n", "1.0"), counting(1), ending],
  ["a body of unknown length", challenge("", ""), counting(1), ending],
  ["a chunked body", challenge("", "Transfer-Encoding: chunked\r\n"), counting(1), ending],
  ["both lengths", challenge("", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), counting(1), ending],
  ["two lengths", challenge("", "Content-Length: 0\r\nContent-Length: 5\r\n"), counting(1), ending],
  ["a length of +3", challenge("", "Content-Length: +3\r\n"), counting(1), ending],
  ["a body of 64 KiB and one", challenge("", "Content-Length: 65537\r\n"), counting(1), "65537 bytes long"],
];
for (const [name, answer, authenticator, says] of hopeless) {
  test(`a 407 with ${name} ends it`, () => {
    const { error, writes } = run(connect(target, authenticator), utf8(answer + ok));
    assertEquals([proxyError(error).side, proxyError(error).stage, writes.length], ["upstream", "auth", 1]);
    assertStringIncludes(proxyError(error).message, says);
    assert(!String(error).includes("hunter2"));
  });
}

test("a proxy that closes within the body of its 407 ends it", () => {
  const { error } = run(connect(target, counting(1)), utf8(challenge("body").slice(0, -2)), { end: true });
  assertEquals(proxyError(error).code, "closed");
});

test("a proxy that never tires of asking is left", () => {
  const { error, writes } = run(connect(target, counting(1e9)), utf8(challenge("").repeat(2000)));
  assertEquals(proxyError(error).code, "protocol");
  assert(writes.length < 1500);
});

test("an authenticator can't break out of its line", () => {
  const evil: Authenticator = { first: () => "Basic x\r\nX-Evil: hunter2", answer: () => undefined };
  const { error, writes } = run(connect(target, evil), utf8(ok));
  const { code, side, stage, message } = proxyError(error);
  assertEquals([writes, code, side, stage], [[], "auth", "local", "auth"]);
  assert(!message.includes("hunter2"), message);
});

const values: [value: string, challenges: [scheme: string, parameters: string][]][] = [
  ["Basic", [["basic", ""]]],
  ['BASIC realm="x"', [["basic", 'realm="x"']]],
  ['Basic realm="a, b", charset="UTF-8"', [["basic", 'realm="a, b", charset="UTF-8"']]],
  ["Negotiate, NTLM", [["negotiate", ""], ["ntlm", ""]]],
  ["NTLM TlRMTVNTUAAC==", [["ntlm", "TlRMTVNTUAAC=="]]],
  ['Digest realm="x", nonce="y", Basic realm="z"', [["digest", 'realm="x", nonce="y"'], [
    "basic",
    'realm="z"',
  ]]],
  ['Basic realm="x, Digest y", Negotiate', [["basic", 'realm="x, Digest y"'], ["negotiate", ""]]],
  ['Basic realm="x\\", Digest y", Negotiate', [["basic", 'realm="x\\", Digest y"'], ["negotiate", ""]]],
  [", ,Basic", [["basic", ""]]],
  ["", []],
];
for (const [value, challenges] of values) {
  test(`the challenges in ${value}`, () => {
    const parsed = parseChallenges(value).map((
      { scheme, parameters },
    ) => [scheme, parameters]);
    assertEquals(parsed, challenges);
  });
}
