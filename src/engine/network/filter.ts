/** Which networks `network ls` shows: Docker's filters. */
import type { Filters } from "../../api/schema/filters.ts";
import { EngineError } from "../../core/errors.ts";
import type { Network } from "../../network/network.ts";
import { matchesLabels } from "../label-filter.ts";
import { namePatterns } from "../name-patterns.ts";

type Predicate = (network: Network) => boolean;

/**
 * @param isUsed whether a running container is on the network.
 * @throws EngineError invalid_argument for a value that a filter cannot have.
 */
export function filterNetworks(networks: readonly Network[], filters: Filters, isUsed: Predicate): Network[] {
  const predicates = Object.entries(filters)
    .filter(([, values]) => values.length > 0)
    .map(([name, values]) => predicate(name, values, isUsed));
  return networks.filter((network) => predicates.every((matches) => matches(network)));
}

function predicate(name: string, values: readonly string[], isUsed: Predicate): Predicate {
  switch (name) {
    case "dangling": {
      const isWanted = values.includes("true") || values.includes("1");
      return (network) => (!network.isBuiltIn && !isUsed(network)) === isWanted;
    }
    case "driver":
      return ({ driver }) => values.includes(driver);
    case "id":
      return patternFilter("id", values, ({ id }) => id);
    case "name":
      return patternFilter("name", values, ({ name }) => name);
    case "label":
      return ({ labels }) => matchesLabels(values, labels);
    case "scope":
      return () => values.includes("local");
    case "type":
      return typeFilter(values);
    default:
      throw new EngineError("invalid_argument", `invalid filter '${name}'`);
  }
}

/** Docker matches ids and names as regular expressions that may lie anywhere in them. */
function patternFilter(name: string, values: readonly string[], text: (network: Network) => string): Predicate {
  const patterns = namePatterns(name, values);
  return (network) => patterns.some((pattern) => pattern.test(text(network)));
}

function typeFilter(values: readonly string[]): Predicate {
  for (const value of values) {
    if (value !== "custom" && value !== "builtin") {
      throw new EngineError("invalid_argument", `invalid filter 'type=${value}': it is custom or builtin`);
    }
  }
  return ({ isBuiltIn }) => values.includes(isBuiltIn ? "builtin" : "custom");
}
