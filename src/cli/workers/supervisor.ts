/**
 * Several processes that serve one configuration: the system spreads connections over them, and the supervisor, which
 * serves nobody itself, sees to it that they are as one.
 *
 * @module
 */
import process from "node:process";
import { formatEndpoint } from "../../core/address.ts";
import type { Config } from "../../config/schema.ts";
import { lineLog, type Log } from "../../log.ts";
import type { Ends, SupervisorCalls } from "./calls.ts";
import { Ledger } from "./ledger.ts";
import { Ports } from "./ports.ts";
import { Seat } from "./seat.ts";

/** How workers serve. */
export interface SupervisorOptions {
  readonly workers: number;
  readonly splice: boolean;
}

/** A service of several workers. */
export class Supervisor {
  log: Log = () => {};
  readonly #ports = new Ports();
  readonly #seats: readonly Seat[];
  readonly #ledger: Ledger;
  #config: Config;
  #numbers = 0;

  private constructor(config: Config, readonly options: SupervisorOptions) {
    this.#config = config;
    const { workers } = options;
    this.#seats = Array.from({ length: workers }, (_, index) =>
      new Seat(index, {
        log: (level, event, fields) => this.log(level, event, fields),
        orders: () => ({
          config: this.#config,
          number: ++this.#numbers,
          workers,
          splice: options.splice,
          contested: this.#ledger.contested,
        }),
        calls: (seat) => this.#calls(seat),
        left: (seat) => this.#left(seat),
      }));
    this.#ledger = new Ledger(config.limits, {
      count: workers,
      recall: async (seat, key) => await this.#seats[seat].channel?.call("recall", key).catch(() => 0) ?? 0,
      allow: (seat, key, share) => this.#seats[seat].channel?.tell("allow", key, share),
      restore: (seat, key) => this.#seats[seat].channel?.tell("restore", key),
    });
    // A second signal, or an error: nobody is left behind.
    process.on("exit", () => this.#seats.forEach((seat) => seat.kill()));
  }

  /** Starts all workers; resolves when all of them listen. @throws ListenError */
  static async start(config: Config, options: SupervisorOptions): Promise<Supervisor> {
    const supervisor = new Supervisor(config, options);
    const ready = await supervisor.#takeUp(config);
    try {
      await Promise.all(supervisor.#seats.map((seat) => seat.start()));
    } catch (error) {
      for (const seat of supervisor.#seats) seat.kill();
      throw error;
    }
    ready();
    return supervisor;
  }

  /**
   * Takes up a new configuration, in every worker. A port that can't be had is found beforehand, and changes nothing; a
   * worker that fails nevertheless is reported, drained, and replaced.
   *
   * @throws ListenError
   */
  async replace(config: Config): Promise<void> {
    const ready = await this.#takeUp(config);
    await Promise.all(this.#seats.map(async (seat) => {
      const { channel } = seat;
      try {
        await channel?.call("replace", this.#config);
      } catch (error) {
        // One that has ended says so itself, and the next one starts with this configuration.
        if (seat.channel !== channel) return;
        this.log("error", "worker.failed", { worker: seat.number, message: (error as Error).message });
        seat.retire();
      }
    }));
    ready();
  }

  /** Drains all workers; resolves when the last has ended. */
  async close(): Promise<void> {
    this.#ledger.close();
    await Promise.all(this.#seats.map((seat) => seat.close()));
  }

  /** From now on this is the configuration; answers what says that its listeners are ready. */
  async #takeUp(wanted: Config): Promise<() => void> {
    const { config, added } = await this.#ports.find(wanted);
    this.#config = config;
    await this.#ledger.limit(config.limits);
    this.log = lineLog(config.log);
    return () => {
      for (const listener of added.map(formatEndpoint)) {
        this.log("info", "listener.ready", { listener, address: listener });
      }
    };
  }

  #calls(seat: number): SupervisorCalls {
    return {
      more: (key) => this.#ledger.more(seat, key),
      connected: async (ends) => {
        await Promise.all(
          this.#others(seat).map((channel) => channel.call("connected", seat, ends).catch(() => {})),
        );
      },
      disconnected: (ends: Ends) => {
        for (const channel of this.#others(seat)) channel.tell("disconnected", seat, ends);
      },
    };
  }

  #left(seat: number): void {
    this.#ledger.left(seat);
    for (const channel of this.#others(seat)) channel.tell("gone", seat);
  }

  #others(seat: number) {
    return this.#seats.flatMap(({ index, channel }) =>
      index === seat || channel === undefined ? [] : [channel]
    );
  }
}
