/**
 * Chains as tests compare them.
 *
 * @module
 */
import type { ElementConfig, HopConfig } from "../../src/config/schema.ts";

/** The hops of a chain that has nothing else. */
export function hopsOf(elements: readonly ElementConfig[] = []): HopConfig[] {
  return elements.map((element) => {
    if ("members" in element) throw new Error(`expected hops, found ${element.kind}`);
    return element;
  });
}

/** A chain in a line: `office > failover(a, b > c)`. */
export function spelled(elements: readonly ElementConfig[]): string {
  return elements.map((element) => {
    if (!("members" in element)) return element.name ?? element.address.hostname;
    const members = element.members.map(({ name, elements, weight }) => {
      const way = spelled(elements);
      return `${name === undefined ? way : `${name}=[${way}]`}${weight === 1 ? "" : `*${weight}`}`;
    });
    return `${element.kind}(${members.join(", ")})`;
  }).join(" > ");
}
