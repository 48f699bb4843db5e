/**
 * Certificates for the tests, made by openssl when they are needed.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { must } from "./process.ts";
import type { Directory } from "./temporary.ts";

/** A certificate and its key, as paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority. */
export interface Authority {
  /** Its own certificate, the file that clients are told to trust. */
  readonly file: string;
  /** Issues a certificate for a server with these names and addresses, or for a client called so. */
  issue(...names: string[]): Promise<Certificate>;
}

const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];

/** Makes a certificate authority whose files go into `directory`. */
export async function authority(directory: Directory, name: string): Promise<Authority> {
  const own = { cert: directory.join(`${name}.pem`), key: directory.join(`${name}.key`) };
  let issued = 0;
  const subject = ["-subj", `/CN=${name}`];
  await must("openssl", ["req", "-x509", ...key, ...subject, "-keyout", own.key, "-out", own.cert]);
  return {
    file: own.cert,
    async issue(...names) {
      const base = directory.join(`${name}-${++issued}`);
      const made = { cert: `${base}.pem`, key: `${base}.key` };
      const alternatives = names.map((name) => `${isIP(name) ? "IP" : "DNS"}:${name}`);
      const extensions = [
        `subjectAltName=${alternatives}`,
        "basicConstraints=critical,CA:FALSE",
        "extendedKeyUsage=serverAuth,clientAuth",
      ].flatMap((extension) => ["-addext", extension]);
      const signer = ["-CA", own.cert, "-CAkey", own.key];
      const output = ["-keyout", made.key, "-out", made.cert];
      await must("openssl", [
        "req",
        "-x509",
        ...key,
        ...signer,
        "-subj",
        `/CN=${names[0]}`,
        ...extensions,
        ...output,
      ]);
      return made;
    },
  };
}

/** A certificate's pin, as `pin=` takes it: the hash of its public key. */
export async function pin({ cert }: Certificate): Promise<string> {
  const { stdout } = await must("openssl", ["x509", "-in", cert, "-noout", "-pubkey"]);
  const der = await must("openssl", ["pkey", "-pubin", "-outform", "der"], { input: stdout });
  return `sha256/${createHash("sha256").update(der.stdout).digest("base64")}`;
}
