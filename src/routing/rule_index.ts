/**
 * Finds the first of many rules without going through them.
 *
 * Rules are told apart by one condition after another: a table has the rules that name a host, a user, and so on,
 * under what they name, and those that do not care beside it. Names are looked up with each name above them, addresses
 * with each length of block that occurs, ports as blocks of their 16 bits. A handful of rules is a list.
 *
 * @module
 */
import { type Block, matchesPattern, type Pattern } from "./pattern.ts";
import { type Facts, type Rule, unmet } from "./rule.ts";

/** A rule for one pattern of targets, or for all of them. */
export interface Entry {
  /** Where it stands among the others: the least that matches wins. Entries are given in this order. */
  readonly order: number;
  readonly pattern?: Pattern;
  /** The conditions besides the target. */
  readonly rule: Rule;
}

type Key = string | number;

/** A condition to tell rules apart by. */
interface Dimension {
  /** Under what an entry is found; nothing when it does not care. */
  keysOf(entry: Entry): readonly Key[] | undefined;
  /** Under what entries for these facts are found, where keys of these lengths occur. */
  keysFor(facts: Facts, lengths: readonly number[]): readonly Key[];
  /** The length of the block that an entry's key is for. */
  lengthsOf?(entry: Entry): readonly number[];
}

const few = 8;
/** How many places an entry may take on average, lest two long lists multiply. */
const places = 4;

const dimensions: readonly Dimension[] = [
  {
    keysOf: ({ pattern }) =>
      pattern === undefined || pattern.host === "any" ? undefined : [hostKey(pattern.host)],
    keysFor: ({ name, address }, lengths) =>
      name !== undefined ? nameKeys(name) : address !== undefined ? blockKeys(address, lengths) : [],
    lengthsOf: ({ pattern }) => {
      const { host } = pattern!;
      return typeof host === "object" && "block" in host ? [host.block.bits] : [];
    },
  },
  {
    keysOf: ({ rule }) => rule.users && [...rule.users],
    keysFor: ({ user }) => user === undefined ? [] : [user],
  },
  {
    keysOf: ({ rule }) => rule.from?.map(blockKey),
    keysFor: ({ source }, lengths) => source === undefined ? [] : blockKeys(source, lengths),
    lengthsOf: ({ rule }) => rule.from!.map(({ bits }) => bits),
  },
  {
    keysOf: ({ pattern }) =>
      pattern?.ports && portBlocks(...pattern.ports).map(([port, bits]) => portKey(port, bits)),
    keysFor: ({ port }, lengths) => lengths.map((bits) => portKey(port, bits)),
    lengthsOf: ({ pattern }) => portBlocks(...pattern!.ports!).map(([, bits]) => bits),
  },
  {
    keysOf: ({ rule }) => rule.listeners && [...rule.listeners],
    keysFor: ({ listener }) => listener === undefined ? [] : [listener],
  },
  {
    keysOf: ({ rule }) => rule.protocols && [...rule.protocols],
    keysFor: ({ protocol }) => protocol === undefined ? [] : [protocol],
  },
];

/** Rules as entries: one for each pattern of targets. */
export function entriesOf(rules: readonly Rule[]): Entry[] {
  return rules.flatMap(({ to, ...rule }, order): Entry[] =>
    to === undefined ? [{ order, rule }] : to.map((pattern) => ({ order, pattern, rule }))
  );
}

/** Rules in a form in which the first that matches is found at once. */
export class RuleIndex {
  readonly #root: Node | undefined;

  /** `entries` are in their order. */
  constructor(entries: readonly Entry[]) {
    this.#root = entries.length === 0 ? undefined : grow(entries, 0);
  }

  /** The first entry that matches, of those before `limit`. */
  find(facts: Facts, limit = Infinity): Entry | undefined {
    return this.#root && search(this.#root, facts, limit);
  }
}

type Node = List | Table;

interface List {
  readonly first: number;
  readonly entries: readonly Entry[];
}

interface Table {
  /** The least order in it. */
  readonly first: number;
  readonly dimension: Dimension;
  readonly lengths: readonly number[];
  readonly under: ReadonlyMap<Key, Node>;
  /** Those that do not care. */
  readonly others?: Node;
}

function grow(entries: readonly Entry[], depth: number): Node {
  const [{ order: first }] = entries;
  if (entries.length <= few || depth === dimensions.length) return { first, entries };
  const dimension = dimensions[depth];
  const others: Entry[] = [];
  const groups = new Map<Key, Entry[]>();
  const lengths = new Set<number>();
  let taken = 0;
  for (const entry of entries) {
    const keys = dimension.keysOf(entry);
    if (keys === undefined) {
      others.push(entry);
      continue;
    }
    for (const key of new Set(keys)) {
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [entry]);
      else group.push(entry);
    }
    for (const length of dimension.lengthsOf?.(entry) ?? []) lengths.add(length);
    taken += keys.length;
    if (taken > places * entries.length) break;
  }
  if (groups.size === 0 || taken > places * entries.length) return grow(entries, depth + 1);
  const under = new Map<Key, Node>();
  for (const [key, group] of groups) under.set(key, grow(group, depth + 1));
  return {
    first,
    dimension,
    lengths: [...lengths],
    under,
    ...(others.length > 0 && { others: grow(others, depth + 1) }),
  };
}

function search(node: Node, facts: Facts, limit: number): Entry | undefined {
  if (node.first >= limit) return undefined;
  if ("entries" in node) {
    return node.entries.find((entry) => entry.order < limit && matches(entry, facts));
  }
  let found: Entry | undefined;
  for (const key of node.dimension.keysFor(facts, node.lengths)) {
    const child = node.under.get(key);
    if (child !== undefined) found = search(child, facts, found?.order ?? limit) ?? found;
  }
  return node.others && search(node.others, facts, found?.order ?? limit) || found;
}

function matches({ pattern, rule }: Entry, facts: Facts): boolean {
  return (pattern === undefined || matchesPattern(pattern, facts)) && unmet(rule, facts) === undefined;
}

function hostKey(host: Exclude<Pattern["host"], "any">): Key {
  return "block" in host ? blockKey(host.block) : "name" in host ? host.name : `.${host.below}`;
}

/** The name, and each name above it with a dot in front. */
function nameKeys(name: string): Key[] {
  const keys: Key[] = [name];
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) keys.push(name.slice(dot));
  return keys;
}

function blockKeys(address: Uint8Array, lengths: readonly number[]): Key[] {
  const keys: Key[] = [];
  for (const bits of lengths) if (bits <= address.length * 8) keys.push(leadingBits(address, bits));
  return keys;
}

function blockKey({ bytes, bits }: Block): Key {
  return leadingBits(bytes, bits);
}

/** IPv4 as a number, IPv6 as a string: neither is ever taken for the other, nor for a name. */
function leadingBits(bytes: Uint8Array, bits: number): Key {
  if (bytes.length === 4) {
    const address = (bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3]) >>> 0;
    return bits * 2 ** 32 + (bits === 0 ? 0 : address >>> (32 - bits));
  }
  let key = String.fromCharCode(bits);
  for (let at = 0; at * 8 < bits; at++) {
    const spare = Math.max(0, 8 * (at + 1) - bits);
    key += String.fromCharCode(bytes[at] >> spare);
  }
  return key;
}

/** A range of ports as blocks: the first port of each, and how many leading bits count. */
function portBlocks(first: number, last: number): [port: number, bits: number][] {
  const blocks: [number, number][] = [];
  for (let port = first; port <= last;) {
    let size = 1;
    while (port % (size * 2) === 0 && port + size * 2 - 1 <= last) size *= 2;
    blocks.push([port, 16 - Math.log2(size)]);
    port += size;
  }
  return blocks;
}

function portKey(port: number, bits: number): Key {
  return bits * 65536 + (port >> (16 - bits));
}
