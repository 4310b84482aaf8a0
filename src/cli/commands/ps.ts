import type { ContainerSummary, PortSummary } from "../../api/schema/container.ts";
import { shortId } from "../../core/id.ts";
import { formatBytesDecimal } from "../../core/size.ts";
import { command, noArguments } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, intFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, formatList } from "../format.ts";
import { printLine } from "../output.ts";
import { ellipsis } from "../table.ts";
import { ago, goTime } from "../time.ts";

const formatHelp = "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or 'TEMPLATE'";

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
    const text = formatList(containers, columns(truncate), shown, format);
    if (text !== "") printLine(text);
    return 0;
  },
});

function columns(truncate: boolean): Column<ContainerSummary>[] {
  return [
    { name: "ID", header: "CONTAINER ID", value: (it) => (truncate ? shortId(it.Id) : it.Id) },
    { name: "Image", header: "IMAGE", value: (it) => imageName(it.Image, truncate) },
    { name: "Command", header: "COMMAND", value: (it) => `"${truncate ? ellipsis(it.Command, 20) : it.Command}"` },
    { name: "CreatedAt", header: "CREATED AT", value: (it) => goTime(it.Created) },
    { name: "RunningFor", header: "CREATED", value: (it) => ago(it.Created) },
    { name: "Status", header: "STATUS", value: (it) => it.Status },
    { name: "State", header: "STATE", value: (it) => it.State },
    { name: "Ports", header: "PORTS", value: (it) => it.Ports.map(port).join(", ") },
    { name: "Names", header: "NAMES", value: (it) => it.Names.map((name) => name.replace(/^\//, "")).join(",") },
    { name: "Labels", header: "LABELS", value: (it) => labels(it.Labels) },
    { name: "Mounts", header: "MOUNTS", value: (it) => it.Mounts.map((mount) => mount.Name ?? mount.Source).join(",") },
    {
      name: "LocalVolumes",
      header: "LOCAL VOLUMES",
      value: (it) => it.Mounts.filter((m) => m.Driver === "local").length,
    },
    { name: "Networks", header: "NETWORKS", value: (it) => Object.keys(it.NetworkSettings.Networks).join(",") },
    { name: "Size", header: "SIZE", value: (it) => size(it) },
  ];
}

function imageName(image: string, truncate: boolean): string {
  return truncate && /^sha256:[0-9a-f]{64}$/.test(image) ? shortId(image) : image;
}

function port({ IP, PrivatePort, PublicPort, Type }: PortSummary): string {
  if (PublicPort === undefined) return `${PrivatePort}/${Type}`;
  const host = IP === undefined ? "" : `${IP.includes(":") ? `[${IP}]` : IP}:`;
  return `${host}${PublicPort}->${PrivatePort}/${Type}`;
}

function labels(map: Record<string, string>): string {
  return Object.entries(map)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(",");
}

function size({ SizeRw, SizeRootFs }: ContainerSummary): string {
  const written = formatBytesDecimal(SizeRw ?? 0);
  return SizeRootFs === undefined ? written : `${written} (virtual ${formatBytesDecimal(SizeRootFs)})`;
}
