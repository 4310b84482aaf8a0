import type { VolumeInspect } from "../../api/schema/volume.ts";
import { listVolumes } from "../../client/volumes.ts";
import { command, noArguments } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag, stringFlag } from "../flags.ts";
import { type Column, formatList, labelColumn, labelsText } from "../format.ts";
import { formatHelp } from "../help.ts";
import { compareNaturally } from "../natural-order.ts";
import { printError, printLine } from "../output.ts";

export const volumeLsCommand = command({
  usage: "[OPTIONS]",
  summary: "List volumes",
  aliases: ["volume ls", "volume list"],
  flags: {
    cluster: boolFlag("Display only cluster volumes, and use cluster volume list formatting", { hidden: true }),
    filter: listFlag('Provide filter values (e.g. "dangling=true")', { short: "f", valueName: "filter" }),
    format: stringFlag(formatHelp),
    quiet: boolFlag("Only display volume names", { short: "q" }),
  },
  arity: noArguments,
  run: async ({ session, flags }) => {
    const { cluster, quiet } = flags;
    const { Volumes, Warnings } = await listVolumes(await session.client(), parseFilters(flags.filter));
    for (const warning of Warnings ?? []) printError(`WARNING: ${warning}`);
    // Without a swarm there are none of a cluster's.
    const volumes = cluster ? [] : Volumes.sort((a, b) => compareNaturally(a.Name, b.Name));
    const configured = flags.format === "" && !quiet ? configuredFormat(session, "volumesFormat") : "";
    const format = listFormat(flags.format || (cluster ? "" : configured), quiet);
    const text = formatList(volumes, columns, cluster ? clusterColumns : ["Driver", "Name"], format);
    if (text !== "") printLine(text);
    return 0;
  },
});

const clusterColumns = ["Name", "Group", "Driver", "Availability", "Status"];

function listFormat(format: string, quiet: boolean): string {
  if (format === "raw") return quiet ? "name: {{.Name}}" : "name: {{.Name}}\ndriver: {{.Driver}}\n";
  return quiet && (format === "" || format === "table") ? "{{.Name}}" : format;
}

/** What lists know nothing of: containers and sizes are system df's, the rest a cluster's. */
const unknown = "N/A";

const columns: Column<VolumeInspect>[] = [
  { name: "Driver", header: "DRIVER", value: ({ Driver }) => Driver },
  { name: "Name", header: "VOLUME NAME", value: ({ Name }) => Name },
  { name: "Scope", header: "SCOPE", value: ({ Scope }) => Scope },
  { name: "Mountpoint", header: "MOUNTPOINT", value: ({ Mountpoint }) => Mountpoint },
  { name: "Labels", header: "LABELS", value: ({ Labels }) => labelsText(Labels ?? {}) },
  labelColumn(({ Labels }) => Labels ?? {}),
  { name: "Links", header: "LINKS", value: () => unknown },
  { name: "Size", header: "SIZE", value: () => unknown },
  { name: "Group", header: "GROUP", value: () => unknown },
  { name: "Availability", header: "AVAILABILITY", value: () => unknown },
  { name: "Status", header: "STATUS", value: () => unknown },
];
