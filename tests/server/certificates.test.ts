/**
 * Certificates whose files change while the program runs.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import type { Endpoint } from "../../mod.ts";
import { type Authority, authority, type Certificate } from "../support/certificates.ts";
import { eventually } from "../support/process.ts";
import { type Directory, temporaryDirectory } from "../support/temporary.ts";
import { serving } from "./serving.ts";
import { Wire } from "./wire.ts";

const stack = new AsyncDisposableStack();
const directory: Directory = stack.use(temporaryDirectory());
let issuer: Authority;
let first: Certificate;
let second: Certificate;
before(async () => {
  issuer = await authority(directory, "reload");
  first = await issuer.issue("first.test");
  second = await issuer.issue("second.test", "late.test");
});
after(() => stack.disposeAsync());

/** A certificate's files in a place of their own. */
function copy(name: string, { cert, key }: Certificate): Certificate {
  const made = { cert: directory.join(`${name}.pem`), key: directory.join(`${name}.key`) };
  copyFileSync(cert, made.cert);
  copyFileSync(key, made.key);
  return made;
}

async function shown(at: Endpoint, servername = "any.test"): Promise<string> {
  const options = { ca: readFileSync(issuer.file), servername, checkServerIdentity: () => undefined };
  using wire = await Wire.tls(at, options);
  return (wire.socket as TLSSocket).getPeerCertificate().subject.CN as string;
}

/** Connects until another certificate is shown. */
async function becomes(at: Endpoint, wanted: string, servername?: string): Promise<void> {
  let last = "";
  await eventually(() => `the certificate of ${wanted}, not ${last}`, async () => {
    last = await shown(at, servername);
    return last === wanted || undefined;
  });
}

const listener = ({ cert, key }: Certificate) => ({
  address: "127.0.0.1:0",
  tls: { certificate: cert, key },
});

test("a certificate that is replaced is used from then on", async () => {
  const files = copy("replaced", first);
  await using house = await serving({ listeners: [listener(files)] });
  assertEquals(await shown(house.at), "first.test");
  for (const kind of ["cert", "key"] as const) {
    copyFileSync(second[kind], `${files[kind]}.new`);
    renameSync(`${files[kind]}.new`, files[kind]);
  }
  await becomes(house.at, "second.test");
  const { level, fields } = await house.logged("certificate.reloaded");
  assertEquals([level, fields.file, fields.names], ["info", files.cert, ["second.test", "late.test"]]);
});

test("a live connection goes on when its certificate is replaced", async () => {
  const files = copy("live", first);
  await using echo = await serving({ listeners: [listener(files)] });
  using wire = await Wire.tls(echo.at, { ca: readFileSync(issuer.file), servername: "first.test" });
  copyFileSync(second.cert, files.cert);
  copyFileSync(second.key, files.key);
  await becomes(echo.at, "second.test");
  wire.send("\x05\x01\x00");
  assertEquals(await wire.read(2), Uint8Array.of(5, 0));
});

test("a broken file leaves the old certificate in use and is logged once; a good one heals it", async () => {
  const files = copy("broken", first);
  await using house = await serving({ listeners: [listener(files)] });
  writeFileSync(files.cert, "not a certificate");
  const failed = await eventually("the log line", async () => {
    assertEquals(await shown(house.at), "first.test");
    return house.events.find(({ event }) => event === "certificate.failed");
  });
  assertEquals(failed.level, "error");
  assertStringIncludes(failed.fields.message, "the old one stays in use");
  // A certificate without its key comes first in many renewals.
  copyFileSync(second.cert, files.cert);
  await eventually("the second log line", async () => {
    assertEquals(await shown(house.at), "first.test");
    return house.events.filter(({ event }) => event === "certificate.failed").length === 2 || undefined;
  });
  copyFileSync(second.key, files.key);
  await becomes(house.at, "second.test");
  assertEquals(house.events.filter(({ event }) => event === "certificate.failed").length, 2);
});

test("the names of a new certificate count for choosing it", async () => {
  const files = copy("names", first);
  const [{ tls: other }] = [listener(first)];
  await using house = await serving({
    listeners: [{ address: "127.0.0.1:0", tls: [other, listener(files).tls] }],
  });
  assertEquals(await shown(house.at, "late.test"), "first.test");
  copyFileSync(second.cert, files.cert);
  copyFileSync(second.key, files.key);
  await becomes(house.at, "second.test", "late.test");
});
