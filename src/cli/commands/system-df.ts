import type { DiskUsageResponse, KindUsage, RootUsage } from "../../api/schema/disk-usage.ts";
import type { ImageSummary } from "../../api/schema/image.ts";
import { diskUsage, rootUsage } from "../../client/storage.ts";
import { shortId } from "../../core/id.ts";
import { inKeyOrder } from "../../core/key-order.ts";
import { formatBytesDecimal, formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { type Column, formatList, goJson, unescapeTemplate } from "../format.ts";
import { printLine } from "../output.ts";
import { formatTable } from "../table.ts";
import { compileTemplate } from "../template/execute.ts";
import { ago, goTime } from "../time.ts";
import { volumeColumns } from "../volume-columns.ts";
import { containerColumns } from "./ps.ts";

interface Row {
  type: string;
  usage: KindUsage<unknown>;
}

export const systemDfCommand = command({
  usage: "[OPTIONS]",
  summary: "Show tsd disk usage",
  aliases: ["system df"],
  flags: {
    format: stringFlag("Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'"),
    verbose: boolFlag("Show detailed information on space usage", { short: "v" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const client = await session.client();
    const { verbose, format } = flags;
    const usage = await diskUsage(client, { verbose });
    const text = verbose
      ? await verboseText(usage, () => rootUsage(client), format)
      : formatList(rowsOf(usage), columns, ["Type", "TotalCount", "Active", "Size", "Reclaimable"], format);
    if (text !== "") printLine(text);
    return 0;
  },
});

const nothing = { ActiveCount: 0, TotalCount: 0, Reclaimable: 0, TotalSize: 0 };

function rowsOf({ ImageUsage, ContainerUsage, VolumeUsage, BuildCacheUsage }: DiskUsageResponse): Row[] {
  return [
    { type: "Images", usage: ImageUsage ?? nothing },
    { type: "Containers", usage: ContainerUsage ?? nothing },
    { type: "Local Volumes", usage: VolumeUsage ?? nothing },
    { type: "Build Cache", usage: BuildCacheUsage ?? nothing },
  ];
}

const columns: Column<Row>[] = [
  { name: "Type", header: "TYPE", value: ({ type }) => type },
  { name: "TotalCount", header: "TOTAL", value: ({ usage }) => String(usage.TotalCount) },
  { name: "Active", header: "ACTIVE", value: ({ usage }) => String(usage.ActiveCount) },
  { name: "Size", header: "SIZE", value: ({ usage }) => formatHumanSize(usage.TotalSize) },
  {
    name: "Reclaimable",
    header: "RECLAIMABLE",
    value: ({ type, usage }) => reclaimable(usage, type !== "Build Cache"),
  },
];

function reclaimable({ Reclaimable, TotalSize }: KindUsage<unknown>, withPercent: boolean): string {
  const size = formatHumanSize(Reclaimable);
  return withPercent && TotalSize > 0 ? `${size} (${Math.floor((Reclaimable * 100) / TotalSize)}%)` : size;
}

/** A table of each kind, then what the root takes in all; or a template over everything. */
async function verboseText(
  usage: DiskUsageResponse,
  measure: () => Promise<RootUsage>,
  format: string,
): Promise<string> {
  const images = usage.ImageUsage?.Items ?? [];
  // Beside what they have written docker says nothing of their size here.
  const containers = (usage.ContainerUsage?.Items ?? []).map(({ SizeRootFs: _, ...container }) => container);
  const volumes = usage.VolumeUsage?.Items ?? [];
  if (format !== "" && format !== "table") {
    const truncate = false;
    const fields = {
      Images: images.map((item) => fieldsOf(item, imageColumns(truncate))),
      Containers: containers.map((item) => fieldsOf(item, containerColumns(truncate))),
      Volumes: volumes.map((item) => fieldsOf(item, volumeColumns)),
      BuildCache: [],
    };
    return format === "json" ? goJson(fields) : compileTemplate(unescapeTemplate(format)).execute(fields);
  }
  const size = formatHumanSize(usage.BuildCacheUsage?.TotalSize ?? 0);
  return [
    `Images space usage:\n\n${formatList(images, imageColumns(true), shownOfImages, "")}`,
    `\nContainers space usage:\n\n${formatList(containers, containerColumns(true), shownOfContainers, "")}`,
    `\nLocal Volumes space usage:\n\n${formatList(volumes, volumeColumns, ["Name", "Links", "Size"], "")}`,
    `\nBuild cache usage: ${size}\n\n${formatTable([["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"]])}`,
    `\n${rootText(await measure())}`,
  ].join("\n");
}

const shownOfImages = ["Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"];
const shownOfContainers = ["ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"];

function fieldsOf<T>(item: T, all: Column<T>[]): Record<string, unknown> {
  return inKeyOrder(Object.fromEntries(all.map(({ name, value }) => [name, value(item)])));
}

function imageColumns(truncate: boolean): Column<ImageSummary>[] {
  const [repository, tag] = [0, 1].map((at) => (image: ImageSummary) => {
    const name = image.RepoTags[0];
    if (name === undefined) return "<none>";
    const colon = name.lastIndexOf(":");
    return at === 0 ? name.slice(0, colon) : name.slice(colon + 1);
  });
  return [
    { name: "Repository", header: "REPOSITORY", value: repository! },
    { name: "Tag", header: "TAG", value: tag! },
    { name: "ID", header: "IMAGE ID", value: ({ Id }) => (truncate ? shortId(Id) : Id) },
    { name: "CreatedSince", header: "CREATED", value: ({ Created }) => (Created > 0 ? ago(Created) : "N/A") },
    { name: "CreatedAt", header: "CREATED AT", value: ({ Created }) => goTime(Created) },
    { name: "Digest", header: "DIGEST", value: () => "" },
    { name: "Size", header: "SIZE", value: ({ Size }) => formatBytesDecimal(Size) },
    { name: "VirtualSize", header: "SIZE", value: ({ Size }) => formatHumanSize(Size) },
    {
      name: "SharedSize",
      header: "SHARED SIZE",
      value: ({ SharedSize }) => formatHumanSize(Math.max(0, SharedSize)),
    },
    {
      name: "UniqueSize",
      header: "UNIQUE SIZE",
      value: ({ Size, SharedSize }) => formatHumanSize(Size - Math.max(0, SharedSize)),
    },
    { name: "Containers", header: "CONTAINERS", value: ({ Containers }) => String(Containers) },
  ];
}

function rootText({ Root, Rows, TotalBytes, TotalInodes, FileSystem }: RootUsage): string {
  const inodes = (count: number) => count.toLocaleString("en-US");
  const rows = Rows.map(({ Name, Count, Bytes, Inodes }) => [
    Name,
    String(Count),
    formatHumanSize(Bytes),
    inodes(Inodes),
  ]);
  const free = `${formatHumanSize(FileSystem.FreeBytes)} and ${inodes(FileSystem.FreeInodes)} inodes free`;
  return [
    `Disk usage of ${Root} (${free}):\n`,
    formatTable([
      ["WHAT", "COUNT", "SIZE", "INODES"],
      ...rows,
      ["Total", "", formatHumanSize(TotalBytes), inodes(TotalInodes)],
    ]),
  ].join("\n");
}
