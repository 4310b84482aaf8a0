import type { Filters } from "../api/schema/filters.ts";
import { FlagError } from "./flags.ts";

/** `--filter name=value`, repeated, as the API wants it: `{name: [value, …]}`. */
export function parseFilters(list: string[]): Filters {
  const filters: Filters = {};
  for (const item of list) {
    const equals = item.indexOf("=");
    if (equals <= 0) {
      const reason = "bad format of filter (expected name=value)";
      throw new FlagError(`invalid argument ${JSON.stringify(item)} for "-f, --filter" flag: ${reason}`);
    }
    const name = item.slice(0, equals).trim().toLowerCase();
    const values = filters[name] ?? [];
    values.push(item.slice(equals + 1).trim());
    filters[name] = values;
  }
  return filters;
}
