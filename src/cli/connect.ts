/**
 * `hopline connect`: joins standard input and output to a target through the chain, for ssh's ProxyCommand and git.
 *
 * @module
 */
import process from "node:process";
import type { Conn } from "../core/conn.ts";
import { asProxyError } from "../core/errors.ts";
import { background } from "../core/handshake.ts";
import { Inbox, type Valve } from "../core/inbox.ts";
import { relay } from "../core/relay.ts";
import { Trail } from "../core/trail.ts";
import { makeRouter } from "../routing/router.ts";
import type { Command } from "./main.ts";
import { configForTarget, parseTarget } from "./target.ts";

/** Connects to a target. */
export const connect: Command = {
  grammar: { operands: ["TARGET (host:port)"], values: ["c", "F"], flags: [] },
  async run(args) {
    const target = parseTarget(args.operands[0]);
    const { config, means } = await configForTarget(args);
    const { dialer } = await makeRouter(config, means)({ target }, background);
    const upstream = await dialer.dial(target, { ...background, trail: new Trail() }).catch((error) => {
      throw asProxyError(error, { code: "failed", side: "local", stage: "connect" }).at(0, "direct");
    });
    const { failure } = await relay(new StandardStreams(), upstream, config.timeouts);
    if (failure?.side !== "upstream") return 0;
    throw asProxyError(failure.error, { code: "closed", side: "upstream", stage: "relay" }).at(0, "relay");
  },
};

/** Standard input and output as a connection. */
class StandardStreams implements Conn, Valve {
  readonly localAddr = null;
  readonly remoteAddr = null;
  readonly #inbox = new Inbox(this);
  /** Resolves when the inbox wants more. */
  #resumed = Promise.resolve();
  resume: () => void = () => {};

  constructor() {
    this.#listen().then(() => this.#inbox.end(), (error) => this.#inbox.fail(error));
    // Whoever reads our output may go first.
    process.stdout.on("error", (error) => this.#inbox.fail(error));
  }

  /** Not by `pause` and `resume` of the stream itself: on Bun its end can get lost between them. */
  async #listen(): Promise<void> {
    for await (const chunk of process.stdin) {
      this.#inbox.deliver(chunk, false);
      await this.#resumed;
    }
  }

  pause(): void {
    this.#resumed = new Promise((resolve) => this.resume = resolve);
  }

  read(p: Uint8Array): Promise<number | null> {
    return this.#inbox.read(p);
  }

  write(p: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(p.slice(), (error) => error ? reject(error) : resolve());
    });
  }

  /** The target has said all: there is nobody left to talk to, as ssh's ProxyCommand expects. */
  closeWrite(): Promise<void> {
    this.#inbox.end();
    return Promise.resolve();
  }

  close(): void {
    this.#inbox.end();
  }

  abort(): void {
    this.close();
  }
}
