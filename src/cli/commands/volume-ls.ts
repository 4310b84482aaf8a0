import { listVolumes } from "../../client/volumes.ts";
import { command, noArguments } from "../command.ts";
import { configuredFormat } from "../configured-format.ts";
import { parseFilters } from "../filters.ts";
import { boolFlag, listFlag, stringFlag } from "../flags.ts";
import { formatLines } from "../format.ts";
import { formatHelp } from "../help.ts";
import { compareNaturally } from "../natural-order.ts";
import { print, printError } from "../output.ts";
import { volumeColumns } from "../volume-columns.ts";

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
    print(
      formatLines(
        volumes,
        volumeColumns,
        cluster ? clusterColumns : ["Driver", "Name"],
        format,
        "*formatter.volumeContext",
      ),
    );
    return 0;
  },
});

const clusterColumns = ["Name", "Group", "Driver", "Availability", "Status"];

function listFormat(format: string, quiet: boolean): string {
  if (format === "raw") return quiet ? "name: {{.Name}}" : "name: {{.Name}}\ndriver: {{.Driver}}\n";
  return quiet && (format === "" || format === "table") ? "{{.Name}}" : format;
}
