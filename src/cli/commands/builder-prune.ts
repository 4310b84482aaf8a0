import { pruneBuildCache } from "../../client/prune.ts";
import { formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, bytesFlag, listFlag } from "../flags.ts";
import { printLine } from "../output.ts";

export const builderPruneCommand = command({
  usage: "[OPTIONS]",
  summary: "Remove build cache",
  flags: {
    all: boolFlag("Remove all unused build cache, not just dangling ones", { short: "a" }),
    filter: listFlag('Provide filter values (e.g. "until=24h")', { valueName: "filter" }),
    force: boolFlag("Do not prompt for confirmation", { short: "f" }),
    "keep-storage": bytesFlag("Amount of disk space to keep for cache"),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const filters = parseFilters(flags.filter);
    const what = flags.all ? "all build cache" : "all dangling build cache";
    const warning = `WARNING! This will remove ${what}. Are you sure you want to continue?`;
    if (!flags.force && !confirm(warning)) return 0;
    const options = { all: flags.all, keepBytes: flags["keep-storage"], filters };
    const { CachesDeleted, SpaceReclaimed } = await pruneBuildCache(await session.client(), options);
    if (CachesDeleted?.length) printLine(`Deleted build cache objects:\n${CachesDeleted.join("\n")}\n`);
    printLine(`Total reclaimed space: ${formatHumanSize(SpaceReclaimed)}`);
    return 0;
  },
});
