/**
 * An explanation as text.
 *
 * @module
 */
import type { Explanation } from "./explanation.ts";
import type { RouteVerdict } from "./routes.ts";
import type { Step } from "./way.ts";

/** Routes that lost are many where lists are long: so many are shown on either side of the one that won. */
const mostRoutes = 10;

/** The text, a section for each question. */
export function page(explanation: Explanation): string {
  const { target, routes, way, names, lookedUp, access, permissions } = explanation;
  return [
    `${target} ${headline(explanation)}`,
    ...section("routes", routeLines(routes)),
    ...section("way", way === undefined ? [] : wayLines(way)),
    ...section("names", [
      ...(lookedUp === undefined ? [] : [
        `${lookedUp.name} was looked up for the addresses in routes: ${
          lookedUp.addresses.join(", ") || "not found"
        }`,
      ]),
      ...names.map(({ name, by }) => `${name} is looked up ${by === "here" ? "here" : `by the hop ${by}`}`),
    ]),
    ...section("access", access),
    ...section("deno run", permissions),
  ].join("\n");
}

function headline({ route, leadsTo, via, verdict, error }: Explanation): string {
  const number = route === undefined ? "" : ` (route ${route})`;
  if (verdict === "rejected") return `is rejected${number}`;
  if (verdict === "unresolved") return `is not reached: ${error}`;
  if (verdict === "unrouted") return "is rejected: no route matches";
  const led = leadsTo === undefined ? "" : `is led to ${leadsTo}, `;
  return `${led}${via.length === 0 ? "directly" : `by ${via.join(", ")}`}${number}`;
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", title, ...lines.map((line) => `  ${line}`)];
}

function routeLines(routes: readonly RouteVerdict[]): string[] {
  const won = routes.findIndex(({ outcome }) => outcome === "taken");
  const middle = won < 0 ? 0 : won;
  const [from, to] = [Math.max(0, middle - mostRoutes), middle + mostRoutes + 1];
  const shown = routes.slice(from, to).map(({ route, outcome, conditions, because }) => {
    const mark = outcome === "taken" ? "→" : " ";
    const why = because === undefined ? "" : ` (${because})`;
    const said = outcome !== "matches too" ? outcome : won < 0 ? "matches" : "matches too, but comes later";
    return `${mark} ${route}  ${conditions}: ${said}${why}`;
  });
  const more = (n: number) => n > 0 ? [`  … ${n} more`] : [];
  return [...more(from), ...shown, ...more(routes.length - to)];
}

function wayLines(way: readonly Step[], indent = ""): string[] {
  if (way.length === 0) return [`${indent}directly`];
  return way.flatMap((step, index) => {
    const number = `${indent}${index + 1}  `;
    if ("hop" in step) {
      const name = step.hop === step.label ? "" : `${step.hop}  `;
      return [`${number}${name}${step.label}${step.tls === undefined ? "" : ` (${step.tls})`}`];
    }
    return [
      `${number}${step.group} of`,
      ...step.members.flatMap(({ name, way }) => [
        ...(name === undefined ? [] : [`${indent}     ${name}:`]),
        ...wayLines(way, `${indent}     `),
      ]),
    ];
  });
}
