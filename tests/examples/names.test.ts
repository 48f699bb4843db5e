/**
 * names.jsonc: names of one's own, and a name server that is asked through the chain.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fetchThrough } from "../support/fetch.ts";
import { type Hopline, hopline, hoplineCommand, root } from "../support/hopline.ts";
import { nameServer, type TestNameServer } from "../support/name_server.ts";
import { blob, sha256, type WebOrigin, webOrigin } from "../support/origins.ts";

const example = join(root, "examples", "names.jsonc");
const stack = new AsyncDisposableStack();
let web: WebOrigin;
let office: Hopline;
let names: TestNameServer;
let laptop: Hopline;
before(async () => {
  web = stack.use(await webOrigin());
  names = stack.use(await nameServer({ "wiki.corp.example A": { data: ["127.0.0.1"] } }));
  office = stack.use(await hopline(["-L", "http://127.0.0.1:0"]));
  const env = { PORT: "0", OFFICE: office.address, NAME_SERVER: `tcp://127.0.0.1:${names.port}` };
  laptop = stack.use(await hopline(["-c", example], 1, env));
});
after(() => stack.disposeAsync());

test("a name of one's own needs nobody, others are asked for through the office", async () => {
  const trail = office.trail();
  for (const name of ["git.corp.example", "wiki.corp.example"]) {
    const url = `http://${name}:${web.port}/blob`;
    const { code, stdout, stderr } = await fetchThrough("socks5", laptop.address, url);
    assertEquals([code, sha256(stdout)], [0, sha256(blob)], stderr);
  }
  assertEquals(names.asked.toSorted(), ["tcp wiki.corp.example A", "tcp wiki.corp.example AAAA"]);
  await laptop.stop();
  await trail.find("tunnel.closed", { target: `127.0.0.1:${names.port}` });
});

test("it passes the check as it stands", async () => {
  const { code, stderr } = await hoplineCommand(["check", example]);
  assertEquals([code, stderr], [0, ""]);
});
