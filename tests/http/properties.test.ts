/**
 * Any sequence of requests and responses, framed in any way and cut anywhere, arrives as what it was.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { test } from "node:test";
import { concat, cutAt } from "../support/bytes.ts";
import { proxy } from "./proxying.ts";
import { type Message, origin } from "./talk.ts";

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** A body as it is sent, and what it holds. */
interface Body {
  readonly framed: string;
  readonly fields: string;
  readonly text: string;
  readonly trailers: string;
}

const text = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => String.fromCharCode(...bytes)),
  fc.constantFrom(
    "0\r\n\r\n",
    "\r\n\r\n",
    "GET http://evil.test/ HTTP/1.1\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
  ),
);
const sized: fc.Arbitrary<Body> = text.map((text) => ({
  framed: text,
  fields: `Content-Length: ${text.length}\r\n`,
  text,
  trailers: "",
}));
const chunked: fc.Arbitrary<Body> = fc.tuple(
  fc.array(text.filter((text) => text !== ""), { maxLength: 5 }),
  fc.constantFrom("", ";x", ';x="y;z"'),
  fc.constantFrom("", "x-sum: 1\r\n"),
).map(([parts, extension, trailers]) => ({
  framed: parts.map((part) => `${part.length.toString(16)}${extension}\r\n${part}\r\n`).join("") +
    `0${extension}\r\n${trailers}\r\n`,
  fields: "Transfer-Encoding: chunked\r\n",
  text: parts.join(""),
  trailers,
}));
const none: Body = { framed: "", fields: "", text: "", trailers: "" };
const field = fc.tuple(
  fc.stringMatching(/^x-[a-z]{1,8}$/),
  fc.stringMatching(/^(?:[!-~\xa0-\xff][!-~\t ]{0,20}[!-~])?$/),
)
  .map(([name, value]) => `${name}: ${value}\r\n`);
const fields = fc.array(field, { maxLength: 4 }).map((list) => list.join(""));
const exchange = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "OPTIONS", "X-ANY"),
  path: fc.stringMatching(/^\/[!-"$-~]{0,30}$/),
  fields,
  body: fc.oneof(fc.constant(none), sized, chunked),
  answer: fc.record({ status: fc.constantFrom(200, 201, 404, 500), fields, body: fc.oneof(sized, chunked) }),
  early: fc.boolean(),
});

const extra = ({ head }: Message) => head.split("\r\n").filter((line) => line.startsWith("x-")).join("\r\n");
const sent = (fields: string) => fields.split("\r\n").filter(Boolean).join("\r\n");

test("any conversation", async () => {
  let answers: string[] = [];
  await using web = await origin(() => answers.shift());
  await using hopline = await proxy();
  await fc.assert(
    fc.asyncProperty(
      fc.array(exchange, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(2000), { maxLength: 6 }),
      async (exchanges, cuts) => {
        const before = web.requests.length;
        answers = exchanges.map(({ answer: { status, fields, body }, early }) =>
          `${
            early ? "HTTP/1.1 103 Early Hints\r\n\r\n" : ""
          }HTTP/1.1 ${status} Some\r\n${fields}${body.fields}\r\n${body.framed}`
        );
        const requests = exchanges.map(({ method, path, fields, body }) =>
          `${method} http://${web.at}${path} HTTP/1.1\r\nHost: x\r\n${fields}${body.fields}\r\n${body.framed}`
        );
        using client = await hopline.client();
        for (const piece of cutAt(concat(...requests.map(latin1)), cuts)) {
          client.send(piece);
          await new Promise((resolve) => setImmediate(resolve));
        }
        for (const { answer, early } of exchanges) {
          if (early) assertEquals((await client.message()).first, "HTTP/1.1 103 Early Hints");
          const message = await client.message();
          assertEquals(message.first, `HTTP/1.1 ${answer.status} Some`);
          assertEquals([message.text, message.trailers], [answer.body.text, answer.body.trailers]);
          assertEquals(extra(message), sent(answer.fields));
        }
        const came = web.requests.slice(before);
        assertEquals(came.length, exchanges.length);
        came.forEach((message, index) => {
          const { method, path, fields, body } = exchanges[index];
          assertEquals(message.first, `${method} ${path} HTTP/1.1`);
          assertEquals([message.text, message.trailers], [body.text, body.trailers]);
          assertEquals(extra(message), sent(fields));
        });
      },
    ),
    { numRuns: 60 },
  );
});

test("whatever a client sends, it is answered or ended, and the server sees no request that was not sent", async () => {
  await using web = await origin();
  await using hopline = await proxy({ timeouts: { handshake: "300ms", idle: "300ms" } });
  const part = fc.constantFrom(
    ...[
      "GET ",
      "POST ",
      `http://${web.at}/sent`,
      "/",
      " HTTP/1.1",
      " HTTP/1.0",
      "\r\n",
      "\r\n\r\n",
      "\n",
      "\r",
      "Host: x",
    ],
    ...[
      "Content-Length: 5",
      "Content-Length: 0",
      "Transfer-Encoding: chunked",
      "hello",
      "5\r\nhello\r\n",
      "0\r\n\r\n",
      " ",
      ":",
    ],
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 14 }), async (parts) => {
      using client = await hopline.client();
      client.send(`GET http://${web.at}/sent HTTP/1.1\r\nHost: x\r\n\r\n`, parts.join(""));
      assertEquals((await client.message()).text, "ok");
      await client.ending();
    }),
    { numRuns: 40 },
  );
  assertEquals(web.requests.filter(({ first }) => !/^(GET|POST) \/sent HTTP\/1\.1$/.test(first)), []);
});
