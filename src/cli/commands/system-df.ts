import type { ContainerSummary } from "../../api/schema/container.ts";
import type { DiskUsageResponse, KindUsage, RootUsage } from "../../api/schema/disk-usage.ts";
import type { ImageSummary } from "../../api/schema/image.ts";
import type { VolumeUsageItem } from "../../api/schema/volume.ts";
import { diskUsage, rootUsage } from "../../client/storage.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesDecimal, formatHumanSize } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { boolFlag, stringFlag } from "../flags.ts";
import { type Column, contextType, formatLines, formatList, listTemplate } from "../format.ts";
import { print } from "../output.ts";
import { formatTable } from "../table.ts";
import { TemplateError } from "../template/error.ts";
import { compileTemplate } from "../template/execute.ts";
import { sliceOf, Value } from "../template/types.ts";
import { ago, goTime } from "../time.ts";
import { volumeColumns } from "../volume-columns.ts";
import { containerColumns, rawFormat as rawContainerFormat } from "./ps.ts";

interface Row {
  type: string;
  /** What docker's types call it. */
  kind: string;
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
    if (!verbose) {
      const shown = ["Type", "TotalCount", "Active", "Size", "Reclaimable"];
      print(
        formatLines(
          rowsOf(usage),
          columns,
          shown,
          format === "raw" ? rawFormat : format,
          ({ kind }) => `*formatter.diskUsage${kind}Context`,
        ),
      );
    } else if (format === "" || format === "table") {
      print(`${await verboseText(usage, () => rootUsage(client))}\n`);
    } else {
      print(format === "raw" ? rawText(kindsOf(usage)) : templateText(kindsOf(usage), format));
    }
    return 0;
  },
});

const nothing = { ActiveCount: 0, TotalCount: 0, Reclaimable: 0, TotalSize: 0 };

function rowsOf({ ImageUsage, ContainerUsage, VolumeUsage, BuildCacheUsage }: DiskUsageResponse): Row[] {
  return [
    { type: "Images", kind: "Images", usage: ImageUsage ?? nothing },
    { type: "Containers", kind: "Containers", usage: ContainerUsage ?? nothing },
    { type: "Local Volumes", kind: "Volumes", usage: VolumeUsage ?? nothing },
    { type: "Build Cache", kind: "Builder", usage: BuildCacheUsage ?? nothing },
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

const rawFormat =
  "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n";

interface Kinds {
  images: ImageSummary[];
  containers: ContainerSummary[];
  volumes: VolumeUsageItem[];
}

function kindsOf({ ImageUsage, ContainerUsage, VolumeUsage }: DiskUsageResponse): Kinds {
  return {
    images: ImageUsage?.Items ?? [],
    // Beside what they have written docker says nothing of their size here.
    containers: (ContainerUsage?.Items ?? []).map(({ SizeRootFs: _, ...container }) => container),
    volumes: VolumeUsage?.Items ?? [],
  };
}

/** One template over everything. @throws TemplateError. */
function templateText({ images, containers, volumes }: Kinds, format: string): string {
  const listOf = <T>(items: T[], columns: Column<T>[], name: string) => {
    const type = contextType(columns, name);
    return new Value(sliceOf(type), items);
  };
  const fields: Record<string, Value> = {
    Images: listOf(images, imageColumns(false), "*formatter.imageContext"),
    Containers: listOf(containers, containerColumns(false), "*formatter.ContainerContext"),
    Volumes: listOf(volumes, volumeColumns, "*formatter.volumeContext"),
    BuildCache: listOf([], [], "*formatter.buildCacheContext"),
  };
  const all = Object.entries(fields).map(([name, value]): Column<null> => ({ name, header: name, value: () => value }));
  const type = contextType(all, "*formatter.diskUsageContext", { inOrder: true });
  const template = compileTemplate(listTemplate(format, []));
  try {
    return template.execute(new Value(type, {}));
  } catch (error) {
    throw error instanceof TemplateError ? error.withPrefix("") : error;
  }
}

/** `--format raw`: a line a field, and an empty one behind each object. */
function rawText({ images, containers, volumes }: Kinds): string {
  const image = [
    "type: Image",
    "repository: {{.Repository}}",
    "tag: {{.Tag}}",
    "digest: {{.Digest}}",
    "image_id: {{.ID}}",
    "created_at: {{.CreatedAt}}",
    "virtual_size: {{.Size}}",
  ];
  const volume = ["type: Local Volume", "name: {{.Name}}", "driver: {{.Driver}}"];
  const block = (lines: string[]) => `${lines.join("\n")}\n`;
  return [
    formatLines(images, imageColumns(false), [], block(image)),
    formatLines(containers, containerColumns(false), [], `type: Container\n${rawContainerFormat(false, true)}`),
    formatLines(volumes, volumeColumns, [], block(volume)),
  ].join("");
}

/** A table of each kind, then what the root takes in all. */
async function verboseText(usage: DiskUsageResponse, measure: () => Promise<RootUsage>): Promise<string> {
  const { images, containers, volumes } = kindsOf(usage);
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
