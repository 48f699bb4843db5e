/**
 * What a TLS handshake has agreed on, and whose certificate came.
 *
 * @module
 */
import { createHash, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Facts } from "../core/trace.ts";

/** The facts of a handshake for a trace; none of what it did not get to. */
export function peerFacts(socket: TLSSocket): Facts {
  const { raw } = socket.getPeerCertificate() ?? {};
  const certificate = raw === undefined ? undefined : new X509Certificate(raw);
  return {
    version: socket.getProtocol() ?? undefined,
    cipher: socket.getCipher()?.name,
    alpn: socket.alpnProtocol || undefined,
    untrusted: certificate && !socket.authorized ? String(socket.authorizationError) : undefined,
    ...(certificate && {
      subject: nameIn(certificate.subject),
      names: certificate.subjectAltName?.split(", "),
      issuer: nameIn(certificate.issuer),
      expires: new Date(certificate.validTo).toISOString(),
      pin: pinOf(certificate),
    }),
  };
}

/** The public key of a certificate (SubjectPublicKeyInfo), as it is pinned. */
export function pinOf({ publicKey }: X509Certificate): string {
  const key = publicKey.export({ type: "spki", format: "der" });
  return `sha256/${createHash("sha256").update(key).digest("base64")}`;
}

/** The common name, or the whole name on one line. */
function nameIn(distinguished: string | undefined): string | undefined {
  const lines = (distinguished ?? "").split("\n").filter((line) => line !== "");
  const common = lines.find((line) => line.startsWith("CN="));
  return common?.slice("CN=".length) ?? (lines.join(", ") || undefined);
}
