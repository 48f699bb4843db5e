/**
 * The certificates of a listener: chosen by server name, and read again when their files change.
 *
 * @module
 */
import { X509Certificate } from "node:crypto";
import type { TlsServerConfig } from "./config/schema.ts";
import { readText, stampOf } from "./config/files.ts";
import { asProxyError } from "./core/errors.ts";
import type { Log } from "./log.ts";
import { nameMatches } from "./protocols/tls_names.ts";
import { type TlsServerOptions, TlsTerminator } from "./protocols/tls.ts";

/** How long files are taken to be unchanged. No timer runs: it is looked when a client comes. */
const restMs = 1000;

/** A certificate as it is configured, and what is offered by ALPN with it. */
type Configured = TlsServerConfig & Pick<TlsServerOptions, "alpn">;

/** One certificate with its key; a changed file that can't be used leaves the old one in place. */
export class Certificate {
  terminator: TlsTerminator;
  /** The names that it is for, `*.` included, in lower case. */
  names: readonly string[];
  #config: Configured;
  #looked = performance.now();
  #looking: Promise<void> | undefined;
  #stamp = "";

  constructor(config: Configured, readonly log: Log) {
    this.#config = config;
    this.terminator = new TlsTerminator(config);
    this.names = namesOf(config.certificate);
  }

  /** Looks at the files, unless somebody did a moment ago. */
  async refresh(): Promise<void> {
    if (this.#config.files === undefined) return;
    if (this.#looking === undefined && performance.now() - this.#looked >= restMs) {
      this.#looking = this.#look().finally(() => {
        this.#looked = performance.now();
        this.#looking = undefined;
      });
    }
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { certificate, key, clientCa } = this.#config.files!;
    const files = [certificate, key, clientCa].filter((path) => path !== undefined);
    const stamp = (await Promise.all(files.map(stampOf))).join(", ");
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    const [file] = files;
    try {
      const changed = { ...this.#config };
      if (certificate !== undefined) changed.certificate = await readText(certificate);
      if (key !== undefined) changed.key = await readText(key);
      if (clientCa !== undefined) changed.clientCa = await readText(clientCa);
      if (sameText(changed, this.#config)) return;
      const terminator = new TlsTerminator(changed);
      const names = namesOf(changed.certificate);
      Object.assign(this, { terminator, names });
      this.#config = changed;
      this.log("info", "certificate.reloaded", { file, names });
    } catch (error) {
      const { message } = asProxyError(error, { code: "tls", side: "local", stage: "tls" });
      this.log("error", "certificate.failed", { file, message: `the old one stays in use: ${message}` });
    }
  }
}

/** The certificates of a listener; the first is for clients that ask for no name of theirs. */
export class Certificates {
  readonly #all: readonly Certificate[];

  constructor(configs: readonly Configured[], log: Log) {
    this.#all = configs.map((config) => new Certificate(config, log));
  }

  /** Which certificate is for a name, by its place; one that has the name itself comes before `*.`. */
  async find(name: string): Promise<number | undefined> {
    await Promise.all(this.#all.map((certificate) => certificate.refresh()));
    const exact = this.#all.findIndex(({ names }) => names.includes(name));
    const index = exact >= 0
      ? exact
      : this.#all.findIndex(({ names }) => names.some((pattern) => nameMatches(pattern, name, "one")));
    return index < 0 ? undefined : index;
  }

  /** What terminates a connection for a name, and its place. */
  async choose(name: string | undefined): Promise<{ index: number; terminator: TlsTerminator }> {
    const index = await this.find(name ?? "") ?? 0;
    return { index, terminator: this.#all[index].terminator };
  }
}

function sameText(a: TlsServerConfig, b: TlsServerConfig): boolean {
  return a.certificate === b.certificate && a.key === b.key && a.clientCa === b.clientCa;
}

function namesOf(certificate: string): string[] {
  const { subjectAltName } = new X509Certificate(certificate);
  return [...(subjectAltName ?? "").matchAll(/(?:^|, )DNS:([^,\s"]+)/g)].map(([, name]) =>
    name.toLowerCase()
  );
}
