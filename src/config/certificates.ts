/**
 * What can be seen of certificates before anybody connects.
 *
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Path } from "./problems.ts";
import type { Config, ElementConfig, HopConfig } from "./schema.ts";
import { report, type Reports } from "./values.ts";

/** Reports a certificate or key that can't be read, or a key that is another certificate's. */
export function checkKeyPair(
  { certificate, key }: { readonly certificate: string; readonly key: string },
  ctx: Reports,
): void {
  const pair = {
    certificate: readable(() => new X509Certificate(certificate)),
    key: readable(() => createPrivateKey(key)),
  };
  if (!pair.certificate) report(ctx, "this PEM text holds no certificate that can be read", ["certificate"]);
  if (!pair.key) report(ctx, "this PEM text holds no private key that can be read", ["key"]);
  if (pair.certificate && pair.key && !pair.certificate.checkPrivateKey(pair.key)) {
    report(ctx, "this private key does not belong to the `certificate` beside it", ["key"]);
  }
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // the runtimes' own words are about ASN.1, and each has others
  }
}

/** Something that works, but hardly as it was meant. */
export interface Warning {
  readonly path: Path;
  readonly message: string;
}

/** The certificates of a configuration that are not valid at a time. */
export function certificateWarnings(config: Config, now: Date): Warning[] {
  const pairs: [Path, string | undefined][] = [];
  config.listeners.forEach(({ tls = [] }, index) =>
    tls.forEach(({ certificate }, at) => {
      const which = tls.length > 1 ? [at] : [];
      pairs.push([["listeners", index, "tls", ...which, "certificate"], certificate]);
    })
  );
  const add = (path: Path, { tls }: HopConfig) =>
    pairs.push([[...path, "tls", "certificate"], tls?.certificate]);
  const addNameless = (path: Path, element: ElementConfig) => {
    if ("protocol" in element) return element.name === undefined && add(path, element);
    element.members.forEach(({ name, elements }, index) => {
      if (name !== undefined) return;
      for (const inner of elements) addNameless([...path, element.kind, index], inner);
    });
  };
  for (const [name, hop] of Object.entries(config.hops)) add(["hops", name], hop);
  for (const [name, chain] of Object.entries(config.chains)) {
    chain.forEach((element, index) => addNameless(["chains", name, index], element));
  }
  return pairs.flatMap(([path, pem]) => {
    if (pem === undefined) return [];
    const { validFrom, validTo } = new X509Certificate(pem);
    if (now > new Date(validTo)) return [{ path, message: `the certificate has expired on ${day(validTo)}` }];
    if (now >= new Date(validFrom)) return [];
    return [{ path, message: `the certificate is not valid before ${day(validFrom)}` }];
  });
}

/** The runtimes write a date in a form of OpenSSL's. */
function day(date: string): string {
  return new Date(date).toISOString().replace(/\.000/, "");
}
