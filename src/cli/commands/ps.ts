import type { ContainerSummary } from "../../api/schema/container.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesDecimal } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, intFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, contextType, formatLines, labelColumn, labelsText } from "../format.ts";
import { formatHelp } from "../help.ts";
import { print, printError } from "../output.ts";
import { portsText } from "../ports-column.ts";
import { ellipsis } from "../table.ts";
import { TemplateError } from "../template/error.ts";
import { compileTemplate, type Template } from "../template/execute.ts";
import { pointerTo, Value } from "../template/types.ts";
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
    const truncate = !flags["no-trunc"];
    if (flags.quiet && flags.format !== "") {
      printError("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    }
    const isRaw = flags.format === "raw";
    const wanted = flags.quiet ? "{{.ID}}" : flags.format || configuredFormat(session, "psFormat");
    const size = flags.size || (!flags.quiet && wanted !== "" && asksForSize(wanted));
    const client = await session.client();
    const containers = await client.listContainers({
      all: flags.all,
      size,
      filters: parseFilters(flags.filter),
      ...(limit > 0 && { limit }),
    });
    const format = isRaw ? rawFormat(flags.quiet, size) : wanted;
    const shown = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", ...(size ? ["Size"] : [])];
    print(formatLines(containers, containerColumns(truncate), shown, format, contextName));
    return 0;
  },
});

const contextName = "*formatter.ContainerContext";

/** What a template is tried on that has seen no container yet. */
const nobody: ContainerSummary = {
  Id: "",
  Names: [],
  Image: "",
  ImageID: "",
  Command: "",
  Created: 0,
  Ports: [],
  Labels: {},
  State: "created",
  Status: "",
  HostConfig: { NetworkMode: "" },
  NetworkSettings: { Networks: {} },
  Mounts: [],
};

/** Sizes take long to find: they are asked for only where the template shows them. @throws TemplateError. */
function asksForSize(format: string): boolean {
  let isAsked = false;
  const columns = containerColumns(true).map((column) => {
    if (column.name !== "Size") return column;
    const value = (item: ContainerSummary) => {
      isAsked = true;
      return column.value(item);
    };
    return { ...column, value };
  });
  const template = compiled(format);
  try {
    template.execute(new Value(contextType(columns, contextName), nobody));
  } catch (error) {
    throw error instanceof TemplateError ? error.withPrefix("failed to execute template: ") : error;
  }
  return isAsked;
}

function compiled(format: string): Template {
  try {
    return compileTemplate(format);
  } catch (error) {
    throw error instanceof TemplateError ? error.withPrefix("failed to parse template: ") : error;
  }
}

/** `--format raw`: a line a field, and an empty one behind each container. */
export function rawFormat(isQuiet: boolean, withSize: boolean): string {
  if (isQuiet) return "container_id: {{.ID}}";
  const fields = [
    "container_id: {{.ID}}",
    "image: {{.Image}}",
    "command: {{.Command}}",
    "created_at: {{.CreatedAt}}",
    "state:{{pad .State 1 0}}",
    "status:{{pad .Status 1 0}}",
    "names: {{.Names}}",
    "labels:{{pad .Labels 1 0}}",
    "ports:{{pad .Ports 1 0}}",
    ...(withSize ? ["size: {{.Size}}"] : []),
  ];
  return `${fields.join("\n")}\n`;
}

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
function platform({ ImageManifestDescriptor }: ContainerSummary): Value {
  return new Value(platformType, ImageManifestDescriptor?.platform ?? null);
}

const platformType = pointerTo({
  name: "formatter.Platform",
  literal: "formatter.Platform",
  kind: "struct",
  isNamed: true,
  fields: [],
  traits: {
    text: (data) => {
      const { os, architecture, variant } = data as { os: string; architecture: string; variant?: string };
      return [os, architecture, variant].filter(Boolean).join("/");
    },
    encode: (data) => {
      const { architecture, os, ...rest } = data as { os: string; architecture: string };
      return JSON.stringify({ architecture, os, ...rest });
    },
  },
});

function size({ SizeRw, SizeRootFs }: ContainerSummary): string {
  const written = formatBytesDecimal(SizeRw ?? 0);
  return SizeRootFs === undefined ? written : `${written} (virtual ${formatBytesDecimal(SizeRootFs)})`;
}
