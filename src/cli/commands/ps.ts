import type { ContainerSummary } from "../../api/schema/container.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesDecimal } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, intFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, formatList, labelColumn, labelsText } from "../format.ts";
import { formatHelp } from "../help.ts";
import { printLine } from "../output.ts";
import { portsText } from "../ports-column.ts";
import { ellipsis } from "../table.ts";
import { goString } from "../template/functions.ts";
import { ago, goTime } from "../time.ts";

export const psCommand = command({
  usage: "[OPTIONS]",
  summary: "List containers",
  aliases: ["container ls", "container list", "container ps", "ps"],
  flags: {
    all: boolFlag("Show all containers (default shows just running)", { short: "a" }),
    filter: listFlag("Filter output based on conditions provided", { short: "f", valueName: "filter" }),
    format: stringFlag(formatHelp),
    last: intFlag("Show n last created containers (includes all states)", { short: "n", initial: -1 }),
    latest: boolFlag("Show the latest created container (includes all states)", { short: "l" }),
    "no-trunc": boolFlag("Don't truncate output"),
    quiet: boolFlag("Only display container IDs", { short: "q" }),
    size: boolFlag("Display total file sizes", { short: "s" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const limit = flags.latest ? 1 : flags.last;
    const client = await session.client();
    const containers = await client.listContainers({
      all: flags.all,
      size: flags.size,
      filters: parseFilters(flags.filter),
      ...(limit > 0 && { limit }),
    });
    const truncate = !flags["no-trunc"];
    if (flags.quiet && flags.format === "") {
      for (const container of containers) printLine(truncate ? shortId(container.Id) : container.Id);
      return 0;
    }
    const shown = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", ...(flags.size ? ["Size"] : [])];
    const format = flags.format || configuredFormat(session, "psFormat");
    const text = formatList(containers, containerColumns(truncate), shown, format);
    if (text !== "") printLine(text);
    return 0;
  },
});

/** Of `system df -v`, too. */
export function containerColumns(truncate: boolean): Column<ContainerSummary>[] {
  return [
    { name: "ID", header: "CONTAINER ID", value: (it) => (truncate ? shortId(it.Id) : it.Id) },
    { name: "Image", header: "IMAGE", value: (it) => imageName(it.Image, truncate) },
    { name: "Command", header: "COMMAND", value: (it) => `"${truncate ? ellipsis(it.Command, 20) : it.Command}"` },
    { name: "CreatedAt", header: "CREATED AT", value: (it) => goTime(it.Created) },
    { name: "RunningFor", header: "CREATED", value: (it) => ago(it.Created) },
    { name: "Status", header: "STATUS", value: (it) => it.Status },
    { name: "State", header: "STATE", value: (it) => it.State },
    { name: "Ports", header: "PORTS", value: (it) => portsText(it.Ports) },
    { name: "Names", header: "NAMES", value: (it) => names(it.Names, truncate) },
    { name: "Labels", header: "LABELS", value: (it) => labelsText(it.Labels) },
    labelColumn((it) => it.Labels),
    {
      name: "Mounts",
      header: "MOUNTS",
      value: (it) => it.Mounts.map((mount) => mountName(mount, truncate)).join(","),
    },
    {
      name: "LocalVolumes",
      header: "LOCAL VOLUMES",
      value: (it) => String(it.Mounts.filter((m) => m.Driver === "local").length),
    },
    { name: "Networks", header: "NETWORKS", value: (it) => Object.keys(it.NetworkSettings.Networks).join(",") },
    { name: "Platform", header: "PLATFORM", value: (it) => platform(it) },
    { name: "Size", header: "SIZE", value: (it) => size(it) },
  ];
}

/** Cut short, the container's own alone, without those that links to it go by: `/other/alias`. */
function names(list: string[], truncate: boolean): string {
  const bare = list.map((name) => name.replace(/^\//, ""));
  const own = truncate ? bare.find((name) => !name.includes("/")) : undefined;
  return own ?? bare.join(",");
}

function mountName({ Name, Source }: { Name?: string; Source: string }, truncate: boolean): string {
  const name = Name || Source;
  return truncate ? ellipsis(name, 15) : name;
}

function imageName(image: string, truncate: boolean): string {
  return truncate && /^sha256:[0-9a-f]{64}$/.test(image) ? shortId(image) : image;
}

/** Of the image's manifest that the container is of. */
function platform({ ImageManifestDescriptor }: ContainerSummary): object {
  const known = ImageManifestDescriptor?.platform;
  const text = known ? [known.os, known.architecture, known.variant].filter(Boolean).join("/") : "<nil>";
  const { architecture, os, ...rest } = known ?? {};
  const json = known ? { architecture, os, ...rest } : null;
  return { toJSON: () => json, [goString]: () => text };
}

function size({ SizeRw, SizeRootFs }: ContainerSummary): string {
  const written = formatBytesDecimal(SizeRw ?? 0);
  return SizeRootFs === undefined ? written : `${written} (virtual ${formatBytesDecimal(SizeRootFs)})`;
}
