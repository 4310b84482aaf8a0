import type { Filters } from "../../api/schema/filters.ts";
import type { Client } from "../../client/client.ts";
import { pruneImages } from "../../client/prune.ts";
import { formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag } from "../flags.ts";
import { printLine } from "../output.ts";

export const imagePruneCommand = command({
  usage: "[OPTIONS]",
  summary: "Remove unused images",
  aliases: ["image prune"],
  flags: {
    all: boolFlag("Remove all unused images, not just dangling ones", { short: "a" }),
    filter: listFlag('Provide filter values (e.g. "until=<timestamp>")', { valueName: "filter" }),
    force: boolFlag("Do not prompt for confirmation", { short: "f" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const filters = parseFilters(flags.filter);
    const what = flags.all ? "all images without at least one container associated to them" : "all dangling images";
    const warning = `WARNING! This will remove ${what}.\nAre you sure you want to continue?`;
    if (!flags.force && !confirm(warning)) return 0;
    const { text, bytes } = await pruneImagesText(await session.client(), filters, flags.all);
    if (text !== "") printLine(text);
    printLine(`Total reclaimed space: ${formatHumanSize(bytes)}`);
    return 0;
  },
});

/** @returns what docker prints of it, with an empty line at its end, and what it brought. */
export async function pruneImagesText(
  client: Client,
  filters: Filters,
  all: boolean,
): Promise<{ text: string; bytes: number }> {
  const { ImagesDeleted, SpaceReclaimed } = await pruneImages(client, { ...filters, dangling: [String(!all)] });
  if (!ImagesDeleted?.length) return { text: "", bytes: 0 };
  const lines = ImagesDeleted.map((item) =>
    "Untagged" in item ? `untagged: ${item.Untagged}` : `deleted: ${item.Deleted}`,
  );
  return { text: `Deleted Images:\n${lines.join("\n")}\n`, bytes: SpaceReclaimed };
}
