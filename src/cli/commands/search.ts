import type { ImageSearchItem } from "../../api/schema/image.ts";
import { defaultRegistry } from "../../oci/reference.ts";
import { command, oneArgument } from "../command.ts";
import { registryAuth } from "../credentials/registry-auth.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, intFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, formatLines } from "../format.ts";
import { print, printError } from "../output.ts";
import { ellipsis } from "../table.ts";

const descriptionWidth = 45;

export const searchCommand = command({
  usage: "[OPTIONS] TERM",
  summary: "Search Docker Hub for images",
  flags: {
    filter: listFlag("Filter output based on conditions provided", { short: "f", valueName: "filter" }),
    format: stringFlag("Pretty-print search using a Go template"),
    limit: intFlag("Max number of search results"),
    "no-trunc": boolFlag("Don't truncate output"),
  },
  arity: oneArgument,
  run: async ({ session, flags, positionals }) => {
    const filters = parseFilters(flags.filter);
    for (const value of filters["is-automated"] ?? []) {
      const useless = `searching for "is-automated=${value}" will not yield any results in future`;
      if (value === "true") printError(`WARNING: the "is-automated" filter is deprecated, and ${useless}.`);
    }
    const term = positionals[0]!;
    const auth = await registryAuth(session, indexOf(term));
    const client = await session.client();
    const request = { term, limit: flags.limit, filters, ...(auth !== undefined && { auth }) };
    const found = await client.searchImages(request);
    const shown = ["Name", "Description", "StarCount", "IsOfficial"];
    const isJson = flags.format === "json" || flags.format === "{{json .}}";
    print(formatLines(found, columns(!flags["no-trunc"], isJson), shown, flags.format, "*registry.searchContext"));
    return 0;
  },
});

/** The registry that a term names, as in a reference. */
function indexOf(term: string): string {
  const [first = "", ...rest] = term.split("/");
  return rest.length > 0 && (/[.:]/.test(first) || first === "localhost") ? first : defaultRegistry;
}

function columns(truncate: boolean, isJson: boolean): Column<ImageSearchItem>[] {
  const flag = (value: boolean) => (isJson ? String(value) : value ? "[OK]" : "");
  return [
    { name: "Name", header: "NAME", value: ({ name }) => name },
    {
      name: "Description",
      header: "DESCRIPTION",
      value: ({ description }) => {
        const text = description.replace(/[\r\n]/g, " ");
        return truncate ? ellipsis(text, descriptionWidth) : text;
      },
    },
    { name: "StarCount", header: "STARS", value: ({ star_count }) => String(star_count) },
    { name: "IsOfficial", header: "OFFICIAL", value: ({ is_official }) => flag(is_official) },
  ];
}
