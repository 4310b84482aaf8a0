import type { Filters } from "../../api/schema/filters.ts";
import type { Client } from "../../client/client.ts";
import { pruneVolumes } from "../../client/volumes.ts";
import { EngineError } from "../../core/errors.ts";
import { formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag } from "../flags.ts";
import { printLine } from "../output.ts";

export const volumePruneCommand = command({
  usage: "[OPTIONS]",
  summary: "Remove unused local volumes",
  flags: {
    all: boolFlag("Remove all unused volumes, not just anonymous ones", { short: "a" }),
    filter: listFlag('Provide filter values (e.g. "label=<label>")', { valueName: "filter" }),
    force: boolFlag("Do not prompt for confirmation", { short: "f" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const filters = parseFilters(flags.filter);
    if (flags.all && filters.all !== undefined) {
      const conflict = "conflicting options: cannot specify both --all and --filter all=1";
      throw new EngineError("invalid_argument", conflict);
    }
    const what = flags.all ? "all local volumes" : "anonymous local volumes";
    const warning = `WARNING! This will remove ${what} not used by at least one container.`;
    if (!flags.force && !confirm(`${warning}\nAre you sure you want to continue?`)) return 0;
    const client = await session.client();
    const { text, bytes } = await pruneVolumesText(client, { ...filters, ...(flags.all && { all: ["true"] }) });
    if (text !== "") printLine(text);
    printLine(`Total reclaimed space: ${formatHumanSize(bytes)}`);
    return 0;
  },
});

/** @returns what docker prints of it, with an empty line at its end, and what it brought. */
export async function pruneVolumesText(client: Client, filters: Filters): Promise<{ text: string; bytes: number }> {
  const { VolumesDeleted, SpaceReclaimed } = await pruneVolumes(client, filters);
  if (VolumesDeleted.length === 0) return { text: "", bytes: 0 };
  return { text: `Deleted Volumes:\n${VolumesDeleted.join("\n")}\n`, bytes: SpaceReclaimed };
}
