import { containerProcesses, filteredPs } from "../ps.ts";
import { command } from "./command.ts";
import { printLine } from "./output.ts";

export const verb = command({
  argumentsUsage: "<container-id> [ps options]",
  help: [
    {
      heading: "DESCRIPTION",
      text:
        "Lists the processes of a container by the host's pids. The table is what the host's ps(1) prints of them\n" +
        'with [ps options], which are "-ef" unless given; where there is no ps, that table is made without it.',
    },
  ],
  flags: {
    format: { kind: "text", alias: "f", default: "table", usage: "select one of: table or json" },
  },
  arguments: { min: 1, max: Number.POSITIVE_INFINITY },
  stopAtPositional: true,
  async run({ root }, flags, [id, ...options]) {
    const pids = containerProcesses(root, id!);
    if (flags.format === "json") {
      printLine(JSON.stringify(pids));
      return 0;
    }
    if (flags.format !== "table") throw new Error("invalid format option");
    for (const line of await table(pids, options)) printLine(line);
    return 0;
  },
});

async function table(pids: number[], options: string[]): Promise<string[]> {
  if (Bun.which("ps") !== null) return filteredPs(options.length === 0 ? ["-ef"] : options, pids);
  if (options.length > 0) {
    throw new Error(`ps ${options.join(" ")}: there is no ps in $PATH, and without it only the table of "ps -ef"`);
  }
  const { processTable } = await import("../process-table.ts");
  return processTable(pids);
}
