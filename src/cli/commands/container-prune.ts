import type { Filters } from "../../api/schema/filters.ts";
import type { Client } from "../../client/client.ts";
import { pruneContainers } from "../../client/prune.ts";
import { formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag } from "../flags.ts";
import { printLine } from "../output.ts";

const warning = `WARNING! This will remove all stopped containers.
Are you sure you want to continue?`;

export const containerPruneCommand = command({
  usage: "[OPTIONS]",
  summary: "Remove all stopped containers",
  aliases: ["container prune"],
  flags: {
    filter: listFlag('Provide filter values (e.g. "until=<timestamp>")', { valueName: "filter" }),
    force: boolFlag("Do not prompt for confirmation", { short: "f" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const filters = parseFilters(flags.filter);
    if (!flags.force && !confirm(warning)) return 0;
    const { text, bytes } = await pruneContainersText(await session.client(), filters);
    if (text !== "") printLine(text);
    printLine(`Total reclaimed space: ${formatHumanSize(bytes)}`);
    return 0;
  },
});

/** @returns what docker prints of it, with an empty line at its end, and what it brought. */
export async function pruneContainersText(client: Client, filters: Filters): Promise<{ text: string; bytes: number }> {
  const { ContainersDeleted, SpaceReclaimed } = await pruneContainers(client, filters);
  if (!ContainersDeleted?.length) return { text: "", bytes: 0 };
  return { text: `Deleted Containers:\n${ContainersDeleted.join("\n")}\n`, bytes: SpaceReclaimed };
}
