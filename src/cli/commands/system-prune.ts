import { EngineError } from "../../core/errors.ts";
import { formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag } from "../flags.ts";
import { printLine } from "../output.ts";
import { pruneContainersText } from "./container-prune.ts";
import { pruneImagesText } from "./image-prune.ts";
import { pruneNetworksText } from "./network-prune.ts";
import { pruneVolumesText } from "./volume-prune.ts";

/** The build cache is for the version that has one: nothing of it is left unused yet. */
export const systemPruneCommand = command({
  usage: "[OPTIONS]",
  summary: "Remove unused data",
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
    if (flags.volumes && filters.until !== undefined) {
      throw new EngineError("invalid_argument", 'ERROR: The "until" filter is not supported with "--volumes"');
    }
    if (!flags.force && !confirm(warning(flags))) return 0;
    const client = await session.client();
    const containers = await pruneContainersText(client, filters);
    if (containers.text !== "") printLine(containers.text);
    const networks = await pruneNetworksText(client, filters);
    if (networks !== "") printLine(networks);
    const volumes = flags.volumes ? await pruneVolumesText(client, filters) : { text: "", bytes: 0 };
    if (volumes.text !== "") printLine(volumes.text);
    const images = await pruneImagesText(client, filters, flags.all);
    if (images.text !== "") printLine(images.text);
    const bytes = containers.bytes + volumes.bytes + images.bytes;
    printLine(`Total reclaimed space: ${formatHumanSize(bytes)}`);
    return 0;
  },
});

function warning({ all, filter, volumes }: { all: boolean; filter: readonly string[]; volumes: boolean }): string {
  const what = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(volumes ? ["all anonymous volumes not used by at least one container"] : []),
    all ? "all images without at least one container associated to them" : "all dangling images",
  ];
  const filtered = [
    "",
    "  Items to be pruned will be filtered with:",
    ...[...filter].sort().map((text) => `  - ${text}`),
  ];
  return [
    "WARNING! This will remove:",
    ...what.map((text) => `  - ${text}`),
    ...(filter.length > 0 ? filtered : []),
    "",
    "Are you sure you want to continue?",
  ].join("\n");
}
