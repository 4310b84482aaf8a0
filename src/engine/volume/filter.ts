/** Which volumes `volume ls` shows: Docker's filters. */
import type { Filters } from "../../api/schema/filters.ts";
import { EngineError } from "../../core/errors.ts";
import { matchesLabels } from "../label-filter.ts";
import { namePatterns } from "../name-patterns.ts";
import { labelsOf } from "./view.ts";
import type { VolumeDetails } from "./volumes.ts";

type Predicate = (volume: VolumeDetails) => boolean;

/**
 * @param isUsed whether a container, running or not, has it.
 * @throws EngineError invalid_argument for a value that a filter cannot have.
 */
export function filterVolumes(volumes: readonly VolumeDetails[], filters: Filters, isUsed: Predicate): VolumeDetails[] {
  const predicates = Object.entries(filters)
    .filter(([, values]) => values.length > 0)
    .map(([name, values]) => predicate(name, values, isUsed));
  return volumes.filter((volume) => predicates.every((matches) => matches(volume)));
}

function predicate(name: string, values: readonly string[], isUsed: Predicate): Predicate {
  switch (name) {
    case "dangling": {
      const isWanted = values.includes("true") || values.includes("1");
      return (volume) => isUsed(volume) !== isWanted;
    }
    case "driver":
      return ({ driver }) => values.includes(driver);
    case "label":
      return (volume) => matchesLabels(values, labelsOf(volume));
    case "name":
      return nameFilter(values);
    default:
      throw new EngineError("invalid_argument", `invalid filter '${name}'`);
  }
}

/** Docker matches names as regular expressions that may lie anywhere in them. */
function nameFilter(values: readonly string[]): Predicate {
  const patterns = namePatterns("name", values);
  return ({ name }) => values.includes(name) || patterns.some((pattern) => pattern.test(name));
}
