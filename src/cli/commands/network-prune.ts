import type { Filters } from "../../api/schema/filters.ts";
import type { Client } from "../../client/client.ts";
import { pruneNetworks } from "../../client/networks.ts";
import { command, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag } from "../flags.ts";
import { printLine } from "../output.ts";

const warning = `WARNING! This will remove all custom networks not used by at least one container.
Are you sure you want to continue?`;

export const networkPruneCommand = command({
  usage: "[OPTIONS]",
  summary: "Remove all unused networks",
  flags: {
    filter: listFlag('Provide filter values (e.g. "until=<timestamp>")', { valueName: "filter" }),
    force: boolFlag("Do not prompt for confirmation", { short: "f" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const filters = parseFilters(flags.filter);
    if (!flags.force && !confirm(warning)) return 0;
    const text = await pruneNetworksText(await session.client(), filters);
    if (text !== "") printLine(text);
    return 0;
  },
});

/** @returns what docker prints of it, with an empty line at its end. */
export async function pruneNetworksText(client: Client, filters: Filters): Promise<string> {
  const { NetworksDeleted } = await pruneNetworks(client, filters);
  return NetworksDeleted?.length ? `Deleted Networks:\n${NetworksDeleted.join("\n")}\n` : "";
}
