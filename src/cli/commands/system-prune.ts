import { pruneContainers } from "../../client/prune.ts";
import { EngineError } from "../../core/errors.ts";
import { formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag } from "../flags.ts";
import { printLine } from "../output.ts";
import { pruneImagesText } from "./image-prune.ts";
import { pruneNetworksText } from "./network-prune.ts";

/** Volumes and the build cache are for the versions that have them: nothing of theirs is left unused yet. */
export const systemPruneCommand = command({
  usage: "[OPTIONS]",
  summary: "Remove unused containers, networks and images",
  aliases: ["system prune"],
  flags: {
    all: boolFlag("Remove all unused images not just dangling ones", { short: "a" }),
    filter: listFlag('Provide filter values (e.g. "label=<key>=<value>")', { valueName: "filter" }),
    force: boolFlag("Do not prompt for confirmation", { short: "f" }),
    volumes: boolFlag("Prune anonymous volumes"),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const filters = parseFilters(flags.filter);
    if (flags.volumes) throw new EngineError("unsupported", "pruning volumes is not built into this version of tsd");
    if (!flags.force && !confirm(warning(flags.all, flags.filter))) return 0;
    const client = await session.client();
    const containers = await pruneContainers(client, filters);
    if (containers.ContainersDeleted?.length) {
      printLine(`Deleted Containers:\n${containers.ContainersDeleted.join("\n")}\n`);
    }
    const networks = await pruneNetworksText(client, filters);
    if (networks !== "") printLine(networks);
    const images = await pruneImagesText(client, filters, flags.all);
    if (images.text !== "") printLine(images.text);
    printLine(`Total reclaimed space: ${formatHumanSize(containers.SpaceReclaimed + images.bytes)}`);
    return 0;
  },
});

function warning(all: boolean, filters: readonly string[]): string {
  const what = [
    "all stopped containers",
    "all networks not used by at least one container",
    all ? "all images without at least one container associated to them" : "all dangling images",
  ];
  const filtered = [
    "",
    "  Items to be pruned will be filtered with:",
    ...[...filters].sort().map((text) => `  - ${text}`),
  ];
  return [
    "WARNING! This will remove:",
    ...what.map((text) => `  - ${text}`),
    ...(filters.length > 0 ? filtered : []),
    "",
    "Are you sure you want to continue?",
  ].join("\n");
}
