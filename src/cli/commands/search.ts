import type { ImageSearchItem } from "../../api/schema/image.ts";
import { command, oneArgument } from "../command.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, intFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, formatList } from "../format.ts";
import { printError, printLine } from "../output.ts";
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
    const client = await session.client();
    const found = await client.searchImages({ term: positionals[0]!, limit: flags.limit, filters });
    const shown = ["Name", "Description", "StarCount", "IsOfficial"];
    const isJson = flags.format === "json" || flags.format === "{{json .}}";
    const text = formatList(found, columns(!flags["no-trunc"], isJson), shown, flags.format);
    if (text !== "") printLine(text);
    return 0;
  },
});

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
