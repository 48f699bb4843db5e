/**
 * An object of a JSON text that knows its line, and which of its keys nobody has asked for.
 *
 * @module
 */
import type { Path } from "../config/problems.ts";
import type { Source } from "../config/source.ts";
import type { Draft } from "./draft.ts";

/** An object of a JSON text. */
export class Item {
  readonly #asked = new Set<string>();
  readonly #value: Readonly<Record<string, unknown>>;

  constructor(readonly source: Source, readonly path: Path, value: unknown) {
    this.#value = typeof value === "object" && value !== null && !Array.isArray(value)
      ? value as Record<string, unknown>
      : {};
  }

  /** Where it begins. */
  get line(): number | undefined {
    return this.source.locate(this.path, "value").line;
  }

  /** Its keys. */
  get keys(): string[] {
    return Object.keys(this.#value);
  }

  /** What is under a key; objects and lists of them as items. */
  take(key: string): unknown {
    this.#asked.add(key);
    const value = Object.hasOwn(this.#value, key) ? this.#value[key] : undefined;
    if (!Array.isArray(value) || typeof value[0] !== "object") return value;
    return value.map((one, index) => new Item(this.source, [...this.path, key, index], one));
  }

  /** A string; nothing for an empty one. */
  text(key: string): string | undefined {
    const value = this.take(key);
    return typeof value === "string" && value !== "" ? value : undefined;
  }

  /** A list of strings, or one alone. */
  texts(key: string): string[] {
    const value = this.take(key);
    const list = Array.isArray(value) ? value : [value];
    return list.filter((one): one is string | number => typeof one === "string" || typeof one === "number")
      .map(String);
  }

  /** An object. */
  item(key: string): Item | undefined {
    const value = this.take(key);
    return typeof value === "object" && value !== null
      ? new Item(this.source, [...this.path, key], value)
      : undefined;
  }

  /** Notes the keys that nobody asked for. */
  reportRest(draft: Draft, where: string): void {
    for (const key of Object.keys(this.#value)) {
      if (this.#asked.has(key) || key === "tag" || key === "$schema") continue;
      const { line } = this.source.locate([...this.path, key], "key");
      draft.note(line, `${where === "" ? "" : `${where}: `}\`${key}\` is left out`);
    }
  }
}

/** The items of a list. */
export function items(value: unknown): Item[] {
  return Array.isArray(value) ? value.filter((one): one is Item => one instanceof Item) : [];
}
